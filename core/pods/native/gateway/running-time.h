/* The time that the pod has been running, and the host's own clock beside it. */
#ifndef MOVE_GATEWAY_RUNNING_TIME_H
#define MOVE_GATEWAY_RUNNING_TIME_H

#include <stdint.h>

extern uint64_t running_ms;
extern int64_t now_ms; /* on this host's clock */

void running_time_update(void);

#endif
