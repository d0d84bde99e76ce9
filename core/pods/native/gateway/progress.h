/* Moves what can move for a session. */
#ifndef MOVE_GATEWAY_PROGRESS_H
#define MOVE_GATEWAY_PROGRESS_H

#include "session.h"

void session_progress(struct session *session, uint32_t events);
void session_fail(struct session *session, uint8_t reason);

#endif
