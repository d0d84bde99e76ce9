/* How sessions begin, get new streams and get their connection to the service. */
#ifndef MOVE_GATEWAY_ATTACH_H
#define MOVE_GATEWAY_ATTACH_H

#include "session.h"

extern bool paused;

void stream_header(struct stream *stream);
void service_connected(struct session *session);
void session_refuse(struct session *session);
void silent_sessions_renew(void);

#endif
