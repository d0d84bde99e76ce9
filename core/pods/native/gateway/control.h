/* What the host tells the gateway: pause, resume, stats; one line each, answered by one line of JSON. */
#ifndef MOVE_GATEWAY_CONTROL_H
#define MOVE_GATEWAY_CONTROL_H

#include <stddef.h>

#include "session.h"

void control_bytes(struct stream *stream, const uint8_t *bytes, size_t count);

#endif
