/* The gateway: pid 1 of a pod. It starts the service, reaps what the service leaves behind, and
 * carries the sessions of the overlay into the service.
 *
 *   gateway --socket PATH --service-address IPv4 --source-address IPv4 [--io-uring allowed|refused]
 *           [--old-root PATH] -- COMMAND...
 *
 * A connection survives a move only if both of its ends move or neither does. So the site's end of
 * every connection into the service lives here, inside the pod, and is checkpointed with it; towards
 * the overlay the gateway speaks a stream that is resumed by acknowledged offsets (the session
 * protocol, ARCHITECTURE.md). One thread, one epoll loop; every table and buffer has a bound.
 *
 * Time is counted as running time: after a restore the clocks have jumped, and the time a pod spent
 * frozen must not expire anybody's session. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attach.h"
#include "confine.h"
#include "limits.h"
#include "listener.h"
#include "no-io-uring.h"
#include "outgoing.h"
#include "progress.h"
#include "running-time.h"
#include "service.h"

static struct handle signals = {HANDLE_SIGNALS, -1, 0};
static pid_t service_pid;
static bool without_io_uring;
static struct rlimit inherited_files;

/* -- the clockwork ------------------------------------------------------------------------------ */

static void tick(void) {
  handle_interest(&listener, EPOLLIN);
  for (struct session *at = sessions, *next; at; at = next) {
    next = at->all_next;
    uint64_t age = running_ms - at->since;
    if (at->connecting && age > CONNECT_LIMIT_MS) {
      session_refuse(at);
    } else if (!at->stream && !paused && age > DETACHED_LIMIT_MS) {
      session_destroy(at);
    }
  }
  for (struct stream *at = streams, *next; at; at = next) {
    next = at->all_next;
    if (at->mode == STREAM_HEADER && running_ms - at->since > HEADER_LIMIT_MS) stream_close(at);
  }
}

static void service_event(struct session *session, uint32_t events) {
  if (session->dead) return;
  if (session->connecting) {
    if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) service_connected(session);
    return;
  }
  session_progress(session, events);
}

/* Reaps orphans; when the service itself is gone, so is the pod. */
static void signals_readable(void) {
  struct signalfd_siginfo info;
  while (read(signals.fd, &info, sizeof info) == (ssize_t)sizeof info) {
    if (info.ssi_signo != SIGCHLD) {
      kill(service_pid, (int)info.ssi_signo);
      continue;
    }
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
      if (pid == service_pid) exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
  }
}

static void dispatch(struct epoll_event *event) {
  struct handle *handle = event->data.ptr;
  switch (handle->kind) {
    case HANDLE_LISTENER: listener_readable(); break;
    case HANDLE_SIGNALS: signals_readable(); break;
    case HANDLE_SERVICE: service_event((struct session *)handle, event->events); break;
    case HANDLE_STREAM: {
      struct stream *stream = (struct stream *)handle;
      if (stream->dead) break;
      if (event->events & EPOLLOUT) {
        struct session *session = stream->session;
        stream_flush(stream);
        if (session) session_progress(session, 0);
      }
      if (!stream->dead && (event->events & (EPOLLIN | EPOLLERR | EPOLLHUP))) stream_readable(stream);
      break;
    }
  }
}

/* -- start -------------------------------------------------------------------------------------- */

static _Noreturn void fail(const char *what) {
  fprintf(stderr, "gateway: %s: %s\n", what, strerror(errno));
  exit(111);
}

static void read_address(const char *text, struct sockaddr_in *address) {
  *address = (struct sockaddr_in){.sin_family = AF_INET};
  if (inet_pton(AF_INET, text, &address->sin_addr) == 1) return;
  errno = EINVAL;
  fail(text);
}

static void start_service(char **command, const sigset_t *mask_before) {
  service_pid = fork();
  if (service_pid < 0) fail("fork");
  if (service_pid > 0) return;
  setrlimit(RLIMIT_NOFILE, &inherited_files);
  sigprocmask(SIG_SETMASK, mask_before, NULL);
  setsid();
  if (without_io_uring && refuse_io_uring() < 0) fail("could not keep the service from io_uring");
  execvp(command[0], command);
  fail(command[0]);
}

int main(int count, char **arguments) {
  const char *socket_path = NULL, *service = NULL, *source = NULL, *old_root = NULL;
  int at = 1;
  for (; at + 1 < count && strcmp(arguments[at], "--") != 0; at += 2) {
    if (strcmp(arguments[at], "--socket") == 0) socket_path = arguments[at + 1];
    else if (strcmp(arguments[at], "--service-address") == 0) service = arguments[at + 1];
    else if (strcmp(arguments[at], "--source-address") == 0) source = arguments[at + 1];
    else if (strcmp(arguments[at], "--old-root") == 0) old_root = arguments[at + 1];
    else if (strcmp(arguments[at], "--io-uring") == 0) without_io_uring = strcmp(arguments[at + 1], "refused") == 0;
    else break;
  }
  if (!socket_path || !service || !source || at + 1 >= count || strcmp(arguments[at], "--") != 0) {
    fputs("usage: gateway --socket PATH --service-address IPv4 --source-address IPv4 "
          "[--io-uring allowed|refused] [--old-root PATH] -- COMMAND...\n",
          stderr);
    return 2;
  }
  read_address(service, &service_address);
  read_address(source, &source_address);

  close_range(3, ~0U, 0); /* nothing of whoever started the pod may come along */
  if (old_root && confine(old_root) < 0) fail("could not confine the pod");
  getrlimit(RLIMIT_NOFILE, &inherited_files);
  struct rlimit files = inherited_files;
  files.rlim_cur = files.rlim_max < 4096 ? files.rlim_max : 4096;
  setrlimit(RLIMIT_NOFILE, &files);

  sigset_t mask, mask_before;
  sigemptyset(&mask);
  sigaddset(&mask, SIGCHLD);
  sigaddset(&mask, SIGTERM);
  sigaddset(&mask, SIGINT);
  sigaddset(&mask, SIGHUP);
  sigaddset(&mask, SIGUSR1);
  sigprocmask(SIG_BLOCK, &mask, &mask_before);
  signals.fd = signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC);
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (signals.fd < 0 || epoll_fd < 0) fail("epoll");
  if (listener_open(socket_path) < 0) fail(socket_path);
  handle_interest(&signals, EPOLLIN);
  start_service(arguments + at + 1, &mask_before);

  uint64_t last_tick = 0;
  for (;;) {
    struct epoll_event events[64];
    int ready = epoll_wait(epoll_fd, events, 64, deferred_sleep_ms());
    if (ready < 0 && errno != EINTR) fail("epoll_wait");
    running_time_update();
    for (int i = 0; i < ready; i++) dispatch(&events[i]);
    deferred_say();
    if (running_ms - last_tick >= TICK_MS) {
      last_tick = running_ms;
      tick();
    }
    bury_the_dead();
  }
}
