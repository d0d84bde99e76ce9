/*
 * labkeeper: holds a lab's namespaces, and leaves nothing behind when the lab ends in any way.
 *
 *   labkeeper --id ID [--cgroup DIR]... [--sweep-cgroup DIR]... [--home DIR] [--remove FILE]... -- COMMAND ARGUMENT...
 *   labkeeper --sweep [--cgroup DIR]... [--sweep-cgroup DIR]... [--remove FILE]...
 *
 * COMMAND runs in new mount, pid, network, IPC and UTS namespaces, with a fresh /proc and an empty /run of
 * its own. Everything the lab makes lives in there, so that the kernel removes it with COMMAND. Two things
 * do not: its freezer cgroups (and a frozen process does not even die of SIGKILL), and the sockets in the
 * user's state directory. Those are the keeper's.
 *
 * There are two keepers. The death of the first kills the namespaces' first process, and so all of them.
 * The second only waits for the first to die. Whichever remains cleans up: thaw, kill, remove. The first
 * replaces a second that dies.
 * --sweep does the same clean-up for a lab both of whose keepers were killed at once.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MOST_NAMES 16
#define CLEANUP_SECONDS 20

static const char *cgroups[MOST_NAMES], *files[MOST_NAMES], *home;
/* those that the command enters come first: it stays out of the others, which only need to be removed */
static int cgroup_count, file_count, entered_count;

static void fail(const char *what, const char *which) {
  fprintf(stderr, "labkeeper: %s %s: %s\n", what, which, strerror(errno));
  exit(1);
}

static int write_text(const char *directory, const char *name, const char *text) {
  char path[PATH_MAX];
  if (snprintf(path, sizeof path, "%s/%s", directory, name) >= (int)sizeof path) return -1;
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  ssize_t written = write(fd, text, strlen(text));
  close(fd);
  return written < 0 ? -1 : 0;
}

static void kill_members(const char *directory) {
  char path[PATH_MAX];
  if (snprintf(path, sizeof path, "%s/cgroup.procs", directory) >= (int)sizeof path) return;
  FILE *list = fopen(path, "re");
  if (!list) return;
  int pid;
  while (fscanf(list, "%d", &pid) == 1)
    if (pid > 1) kill(pid, SIGKILL);
  fclose(list);
}

/* Thaws and kills from the top down (a frozen parent keeps its children frozen), removes from the bottom. */
static void take_down(const char *directory) {
  char path[PATH_MAX];
  if (write_text(directory, "freezer.state", "THAWED")) write_text(directory, "cgroup.freeze", "0");
  kill_members(directory);
  DIR *entries = opendir(directory);
  if (!entries) return;
  for (struct dirent *entry; (entry = readdir(entries));) {
    if (entry->d_type != DT_DIR || !strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
    if (snprintf(path, sizeof path, "%s/%s", directory, entry->d_name) < (int)sizeof path) take_down(path);
  }
  closedir(entries);
  rmdir(directory);
}

static int clean_up(void) {
  struct timespec pause = {0, 5 * 1000 * 1000};
  time_t deadline = time(NULL) + CLEANUP_SECONDS;
  int left = 1;
  while (left && time(NULL) <= deadline) {
    left = 0;
    for (int i = 0; i < cgroup_count; i++) {
      take_down(cgroups[i]);
      if (access(cgroups[i], F_OK) == 0) left = 1;
    }
    if (left) nanosleep(&pause, NULL);
  }
  for (int i = 0; i < file_count; i++)
    if (unlink(files[i]) && errno == EISDIR) rmdir(files[i]);
  return left;
}

static void make_path(const char *path) {
  char partial[PATH_MAX];
  snprintf(partial, sizeof partial, "%s", path);
  for (char *slash = partial + 1; (slash = strchr(slash, '/')); slash++) {
    *slash = 0;
    mkdir(partial, 0755);
    *slash = '/';
  }
  mkdir(partial, 0755);
}

/* The lab's view of the machine: its own /proc and /run; mounts made in here stay in here. */
static void arrange_mounts(void) {
  char held[64];
  int directory = home ? open(home, O_PATH | O_CLOEXEC) : -1;
  if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL)) fail("cannot separate the mounts of", "/");
  if (mount("proc", "/proc", "proc", 0, NULL)) fail("cannot mount", "/proc");
  if (mount("move-lab", "/run", "tmpfs", 0, "mode=755,size=75%")) fail("cannot mount", "/run");
  if (directory >= 0 && !strncmp(home, "/run/", 5)) {
    snprintf(held, sizeof held, "/proc/self/fd/%d", directory);
    make_path(home);
    if (mount(held, home, NULL, MS_BIND, NULL)) fail("cannot keep", home);
  }
}

static void let_go_of_streams(void) {
  int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (nothing < 0) return;
  for (int fd = 0; fd < 3; fd++) dup2(nothing, fd);
}

/*
 * The first process of the namespaces: starts COMMAND, reaps what loses its parent, and ends with COMMAND.
 * It alone holds `alive`. Its end closes that before the kernel begins to wait for the rest of the
 * namespace, which a frozen process would make it do for ever; so the keeper hears of it in time to thaw.
 */
static int first_process(int go, char **command) {
  char byte;
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  /* the keeper answers only after it has put this process into its cgroups; silence means it is dead */
  if (read(go, &byte, 1) != 1) return 1;
  arrange_mounts();
  pid_t started = fork();
  if (started < 0) fail("cannot start", command[0]);
  if (started == 0) {
    execvp(command[0], command);
    fail("cannot start", command[0]);
  }
  let_go_of_streams();
  for (;;) {
    pid_t ended = wait(NULL);
    if (ended == started || (ended < 0 && errno != EINTR)) return 0;
  }
}

static void start_command(char **command, int *alive) {
  int go[2], life[2];
  if (pipe2(go, O_CLOEXEC) || pipe2(life, O_CLOEXEC)) fail("no pipe", "");
  pid_t pid = (pid_t)syscall(
      SYS_clone, (unsigned long)(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | SIGCHLD),
      0UL, 0UL, 0UL, 0UL);
  if (pid < 0) fail("no new namespaces for", command[0]);
  if (pid == 0) {
    close(go[1]);
    close(life[0]);
    _exit(first_process(go[0], command));
  }
  close(go[0]);
  close(life[1]);
  char text[32];
  snprintf(text, sizeof text, "%d", (int)pid);
  for (int i = 0; i < entered_count; i++)
    if (write_text(cgroups[i], "cgroup.procs", text)) fail("cannot enter", cgroups[i]);
  if (write(go[1], "g", 1) != 1) fail("cannot start", command[0]);
  close(go[1]);
  *alive = life[0];
}

/* Forks the second keeper; the returned descriptor is what it listens to. */
static pid_t start_second(int *lifeline) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC)) fail("no pipe", "");
  pid_t pid = fork();
  if (pid < 0) fail("no second keeper", "");
  if (pid == 0) {
    char byte;
    close(ends[1]);
    setsid();
    ssize_t count;
    while ((count = read(ends[0], &byte, 1)) < 0 && errno == EINTR) continue;
    /* a byte is the first keeper's word that it has cleaned up itself; the end of file is its death */
    _exit(count == 1 ? 0 : clean_up());
  }
  close(ends[0]);
  *lifeline = ends[1];
  return pid;
}

int main(int count, char **argument) {
  int sweep = 0, i = 1;
  for (; i < count && strcmp(argument[i], "--"); i++) {
    const char *value = i + 1 < count ? argument[i + 1] : NULL;
    if (!strcmp(argument[i], "--sweep")) sweep = 1;
    else if (!value) return 2;
    else if (!strcmp(argument[i], "--id")) i++;
    else if (!strcmp(argument[i], "--home")) home = argument[++i];
    else if (!strcmp(argument[i], "--cgroup") && cgroup_count < MOST_NAMES && cgroup_count == entered_count)
      entered_count++, cgroups[cgroup_count++] = argument[++i];
    else if (!strcmp(argument[i], "--sweep-cgroup") && cgroup_count < MOST_NAMES) cgroups[cgroup_count++] = argument[++i];
    else if (!strcmp(argument[i], "--remove") && file_count < MOST_NAMES) files[file_count++] = argument[++i];
    else {
      fprintf(stderr, "labkeeper: %s is not understood\n", argument[i]);
      return 2;
    }
  }
  if (sweep) return clean_up();
  if (i + 1 >= count) return 2;
  for (int signal_number = 1; signal_number < 32; signal_number++)
    if (signal_number != SIGCHLD) signal(signal_number, signal_number == SIGPIPE || signal_number == SIGHUP ? SIG_IGN : SIG_DFL);
  setsid();
  if (chdir("/")) fail("cannot enter", "/");
  for (int k = 0; k < cgroup_count; k++)
    if (mkdir(cgroups[k], 0755) && errno != EEXIST) fail("cannot make", cgroups[k]);
  int lifeline;
  sigset_t child_ended;
  sigemptyset(&child_ended);
  sigaddset(&child_ended, SIGCHLD);
  sigprocmask(SIG_BLOCK, &child_ended, NULL);
  int children = signalfd(-1, &child_ended, SFD_CLOEXEC | SFD_NONBLOCK);
  if (children < 0) fail("no signal descriptor", "");
  char own_pid[32];
  snprintf(own_pid, sizeof own_pid, "%d", (int)getpid());
  setenv("MOVE_LAB_KEEPER", own_pid, 1);
  /* the second keeper must be there before there is anything to clean up, without the command's streams */
  int streams[3];
  for (int fd = 0; fd < 3; fd++) streams[fd] = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  let_go_of_streams();
  pid_t second = start_second(&lifeline);
  for (int fd = 0; fd < 3; fd++)
    if (streams[fd] >= 0) dup2(streams[fd], fd);
  int alive;
  start_command(argument + i + 1, &alive);
  for (int fd = 0; fd < 3; fd++)
    if (streams[fd] >= 0) close(streams[fd]);
  let_go_of_streams();
  for (;;) {
    struct pollfd events[2] = {{.fd = alive, .events = POLLIN}, {.fd = children, .events = POLLIN}};
    if (poll(events, 2, -1) < 0 && errno != EINTR) break;
    if (events[0].revents) break;
    struct signalfd_siginfo news;
    if (events[1].revents && read(children, &news, sizeof news) < 0 && errno != EAGAIN) break;
    for (pid_t ended; (ended = waitpid(-1, NULL, WNOHANG)) > 0;) {
      if (ended != second) continue;
      close(lifeline);
      second = start_second(&lifeline);
    }
  }
  int left = clean_up();
  if (write(lifeline, "q", 1) != 1) return 1;
  return left;
}
