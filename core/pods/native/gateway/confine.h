/* The last steps into a pod, taken by the gateway itself so that they need no tool of the image: let go
 * of the old root, lead a session, and give up every right that an ordinary service does not need. */
#ifndef MOVE_CONFINE_H
#define MOVE_CONFINE_H

#include <errno.h>
#include <linux/capability.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "refuse-calls.h"

/* What a service such as Apache needs to open its port and its logs, and to step down to its own user. */
static const int kept_capabilities[] = {
    CAP_CHOWN,  CAP_DAC_OVERRIDE, CAP_FOWNER,           CAP_FSETID,     CAP_KILL,
    CAP_SETGID, CAP_SETUID,       CAP_NET_BIND_SERVICE, CAP_SYS_CHROOT,
};

/* `old_root` is where pivot_root(2) left the host's root. Returns 0, or -1 with errno. */
static int confine(const char *old_root) {
  if (umount2(old_root, MNT_DETACH) < 0 || rmdir(old_root) < 0) return -1;
  if (getpid() != getsid(0) && setsid() < 0) return -1;
  uint64_t kept = 0;
  for (size_t i = 0; i < sizeof kept_capabilities / sizeof *kept_capabilities; i++)
    kept |= 1ULL << kept_capabilities[i];
  for (int capability = 0; capability < 64; capability++) {
    if (kept & 1ULL << capability) continue;
    if (prctl(PR_CAPBSET_READ, capability, 0, 0, 0) < 0) break; /* beyond what this kernel knows */
    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0) return -1;
  }
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2] = {{(uint32_t)kept, (uint32_t)kept, 0},
                                           {(uint32_t)(kept >> 32), (uint32_t)(kept >> 32), 0}};
  if (syscall(SYS_capset, &header, data) < 0) return -1;
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return -1;
  return refuse_calls();
}

#endif
