/* What an access point says on a session's stream. */
#ifndef MOVE_GATEWAY_INCOMING_H
#define MOVE_GATEWAY_INCOMING_H

#include <stddef.h>

#include "session.h"

void session_bytes(struct stream *stream, const uint8_t *bytes, size_t count);

#endif
