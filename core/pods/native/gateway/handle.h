/* A file descriptor and what epoll is asked about it. */
#ifndef MOVE_GATEWAY_HANDLE_H
#define MOVE_GATEWAY_HANDLE_H

#include <stdint.h>

enum handle_kind { HANDLE_LISTENER, HANDLE_SIGNALS, HANDLE_STREAM, HANDLE_SERVICE };

struct handle {
  enum handle_kind kind;
  int fd;
  uint32_t interest; /* 0: not in the epoll set at all, so that a hang-up cannot spin the loop */
};

extern int epoll_fd;

void handle_interest(struct handle *handle, uint32_t events);
void handle_close(struct handle *handle);

#endif
