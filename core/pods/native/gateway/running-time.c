#include "running-time.h"

#include <time.h>

#include "limits.h"

uint64_t running_ms;
int64_t now_ms;

/* Adds the time since the last call. The clock belongs to whatever host the pod runs on, so a jump
 * (back, or further than two ticks) is a restore or a freeze and counts as one tick at most. */
void running_time_update(void) {
  static int64_t last = -1;
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  int64_t at = now_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
  int64_t passed = last < 0 ? 0 : at - last;
  last = at;
  if (passed < 0) passed = 0;
  if (passed > 2 * TICK_MS) passed = TICK_MS;
  running_ms += (uint64_t)passed;
}
