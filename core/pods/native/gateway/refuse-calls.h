/* System calls that no service of a pod needs, and that reach far into the kernel: they are answered as on a kernel
 * that does not have them. What else a service may not do its missing capabilities say. */
#ifndef MOVE_REFUSE_CALLS_H
#define MOVE_REFUSE_CALLS_H

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define MOVE_REFUSED(number) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS)
#define MOVE_NEW_USERS(number)                                                              \
  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 4),                                      \
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),           \
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_NEWUSER, 0, 1),                            \
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

/* For this process and all that it starts, for good; no_new_privs must be set. Calls of another architecture's
 * numbers end the process: they would pass every comparison below. Returns 0, or -1 with errno. */
static int refuse_calls(void) {
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      /* namespaces of users would give back capabilities; clone3 hides its flags from filters, and the C library
       * takes clone where there is no clone3 */
      MOVE_REFUSED(SYS_clone3),
      MOVE_REFUSED(SYS_bpf),
      MOVE_REFUSED(SYS_perf_event_open),
      MOVE_REFUSED(SYS_userfaultfd),
      MOVE_REFUSED(SYS_add_key),
      MOVE_REFUSED(SYS_request_key),
      MOVE_REFUSED(SYS_keyctl),
      MOVE_NEW_USERS(SYS_unshare),
      MOVE_NEW_USERS(SYS_clone),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}

#endif
