#define _GNU_SOURCE
#include "listener.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "attach.h"
#include "control.h"
#include "incoming.h"
#include "limits.h"
#include "wire.h"

struct handle listener = {HANDLE_LISTENER, -1, 0};

/* Returns 0, or -1 with errno. */
int listener_open(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  strcpy(address.sun_path, path);
  unlink(path);
  listener.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (listener.fd < 0 || bind(listener.fd, (struct sockaddr *)&address, sizeof address) < 0) return -1;
  if (chmod(path, 0600) < 0 || listen(listener.fd, 256) < 0) return -1;
  handle_interest(&listener, EPOLLIN);
  return 0;
}

void listener_readable(void) {
  for (int i = 0; i < 64; i++) {
    int fd = accept4(listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EMFILE || errno == ENFILE) handle_interest(&listener, 0); /* until the next tick */
      return;
    }
    if (!stream_new(fd)) close(fd);
  }
}

/* Hangs up on those who wait to be accepted. */
void listener_turn_away(void) {
  int waiting;
  while ((waiting = accept4(listener.fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) close(waiting);
}

void stream_readable(struct stream *stream) {
  static uint8_t buffer[READ_BYTES];
  ssize_t got = recv(stream->handle.fd, buffer, sizeof buffer, 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) {
    stream_close(stream);
    return;
  }
  uint8_t *at = buffer;
  size_t left = (size_t)got;
  if (stream->mode == STREAM_HEADER) {
    if (stream->close_after_flush) return;
    size_t part = HEADER_BYTES - stream->in_length;
    if (part > left) part = left;
    memcpy(stream->in + stream->in_length, at, part);
    stream->in_length += (uint32_t)part;
    at += part;
    left -= part;
    if (stream->in_length < HEADER_BYTES) return;
    stream_header(stream);
  }
  if (left == 0 || stream->dead || stream->close_after_flush) return;
  if (stream->mode == STREAM_SESSION) session_bytes(stream, at, left);
  else if (stream->mode == STREAM_CONTROL) control_bytes(stream, at, left);
}
