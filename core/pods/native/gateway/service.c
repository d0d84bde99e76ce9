#include "service.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "running-time.h"
#include "wire.h"

struct sockaddr_in service_address, source_address;
uint64_t bytes_up, bytes_down;

int service_connect(struct session *session, uint16_t port) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  int on = 1;
  struct sockaddr_in to = service_address;
  to.sin_port = htons(port);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (bind(fd, (struct sockaddr *)&source_address, sizeof source_address) < 0 ||
      (connect(fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS)) {
    close(fd);
    return -1;
  }
  session->service.fd = fd;
  session->port = port;
  session->connecting = true;
  session->since = running_ms;
  return 0;
}

/* The service hung up hard. What it had said before is still delivered, then comes the RESET. */
void service_lost(struct session *session) {
  session->reset = RESET_SERVICE;
  session->up_discard = true;
  session->up_delivered = session->up_received;
  ring_release(&session->up);
  handle_close(&session->service);
}

/* The service no longer reads: what the client still sends is swallowed, as TCP would. */
static void service_deaf(struct session *session) {
  session->up_discard = true;
  session->up_delivered = session->up_received;
  ring_release(&session->up);
}

void service_write(struct session *session) {
  while (session->up.length > 0 && session->service.fd >= 0 && !session->connecting) {
    struct iovec pieces[2];
    struct msghdr message = {.msg_iov = pieces};
    message.msg_iovlen = (size_t)ring_pieces(&session->up, 0, session->up.length, pieces);
    ssize_t written = sendmsg(session->service.fd, &message, MSG_NOSIGNAL);
    if (written < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) break;
      if (errno == EPIPE) service_deaf(session);
      else service_lost(session);
      break;
    }
    session->up_delivered += (uint64_t)written;
    bytes_up += (uint64_t)written;
    ring_consume(&session->up, (uint32_t)written);
  }
  if (session->up_fin && !session->up_shut && !session->connecting &&
      session->up_delivered == session->up_fin_offset) {
    if (session->service.fd >= 0) shutdown(session->service.fd, SHUT_WR);
    session->up_shut = true;
    session->finack_due = true;
  }
}

/* Only what epoll told of is read: a read that finds nothing costs as much as one that does. A service often says its
 * last and hangs up in one go, and then both travel together. */
void service_read(struct session *session, uint32_t events) {
  if (session->connecting || session->down_end || session->service.fd < 0) return;
  uint32_t room = ring_room(&session->down);
  if (room == 0 || ring_reserve(&session->down) < 0) return;
  int turns = events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR) ? 2 : 1;
  for (int turn = 0; turn < turns && room > 0; turn++) {
    struct iovec pieces[2];
    int used = ring_pieces(&session->down, session->down.length, room, pieces);
    ssize_t got;
    do got = readv(session->service.fd, pieces, used);
    while (got < 0 && errno == EINTR);
    if (got <= 0) {
      if (got == 0) session->down_end = true;
      else if (errno != EAGAIN) service_lost(session);
      break;
    }
    session->down.length += (uint32_t)got;
    session->down_total += (uint64_t)got;
    bytes_down += (uint64_t)got;
    room = ring_room(&session->down);
  }
  if (session->down.length == 0) ring_release(&session->down);
}

/* Hands bytes of the client on, or keeps those that the service does not take now: the caller knows that they fit. */
void service_take(struct session *session, const uint8_t *bytes, uint32_t count) {
  session->up_received += count;
  if (session->up_discard) {
    session->up_delivered = session->up_received;
    return;
  }
  if (session->up.length == 0 && !session->connecting && session->service.fd >= 0) {
    ssize_t written = send(session->service.fd, bytes, count, MSG_NOSIGNAL);
    if (written > 0) {
      session->up_delivered += (uint64_t)written;
      bytes_up += (uint64_t)written;
      bytes += written;
      count -= (uint32_t)written;
    } else if (written < 0 && errno != EAGAIN && errno != EINTR) {
      if (errno == EPIPE) service_deaf(session);
      else service_lost(session);
      return;
    }
  }
  if (count == 0) return;
  if (ring_reserve(&session->up) < 0) service_lost(session);
  else ring_append(&session->up, bytes, count);
}
