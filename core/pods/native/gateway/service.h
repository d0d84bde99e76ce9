/* The service's side of a session: its connection over the pod's own network. */
#ifndef MOVE_GATEWAY_SERVICE_H
#define MOVE_GATEWAY_SERVICE_H

#include <netinet/in.h>

#include "session.h"

extern struct sockaddr_in service_address, source_address;
extern uint64_t bytes_up, bytes_down;

int service_connect(struct session *session, uint16_t port);
void service_lost(struct session *session);
void service_take(struct session *session, const uint8_t *bytes, uint32_t count);
void service_write(struct session *session);
void service_read(struct session *session, uint32_t events);

#endif
