#include "progress.h"

#include <sys/epoll.h>

#include "outgoing.h"
#include "service.h"

/* Moves everything that can move for one session and asks epoll for what is missing. `events` is what epoll told of
 * the service's connection; it tells again of what is
 * not read now. */
void session_progress(struct session *session, uint32_t events) {
  if (session->dead) return;
  service_write(session);
  /* What epoll was not asked for, because there was no room, is looked for without being told. */
  if ((events & ~(uint32_t)EPOLLOUT) != 0 || !(session->service.interest & EPOLLIN)) service_read(session, events);
  if (session->down_end && session->up_shut) handle_close(&session->service);
  if (session->stream) stream_flush(session->stream);
  if (session->dead || session->service.fd < 0) return;
  uint32_t wanted = 0;
  if (session->connecting) wanted = EPOLLOUT;
  else {
    if (!session->down_end && ring_room(&session->down) > 0) wanted |= EPOLLIN | EPOLLRDHUP;
    if (session->up.length > 0) wanted |= EPOLLOUT;
  }
  handle_interest(&session->service, wanted);
}

void session_fail(struct session *session, uint8_t reason) {
  session->reset = reason;
  session_progress(session, 0);
}
