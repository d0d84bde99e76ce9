/* What a stream says to the access point. */
#ifndef MOVE_GATEWAY_OUTGOING_H
#define MOVE_GATEWAY_OUTGOING_H

#include "session.h"

void out_frame(struct stream *stream, uint8_t type, uint32_t length);
void out_reply(struct stream *stream, uint8_t status, uint64_t received);
void stream_flush(struct stream *stream);
void stream_refuse(struct stream *stream, uint8_t status);
void deferred_say(void);
int deferred_sleep_ms(void);

#endif
