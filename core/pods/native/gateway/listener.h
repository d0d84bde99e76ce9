/* The unix socket by which the host reaches the gateway, and what comes in by it. */
#ifndef MOVE_GATEWAY_LISTENER_H
#define MOVE_GATEWAY_LISTENER_H

#include "session.h"

extern struct handle listener;

int listener_open(const char *path);
void listener_readable(void);
void listener_turn_away(void);
void stream_readable(struct stream *stream);

#endif
