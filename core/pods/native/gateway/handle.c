#include "handle.h"

#include <sys/epoll.h>
#include <unistd.h>

int epoll_fd = -1;

void handle_interest(struct handle *handle, uint32_t events) {
  if (handle->fd < 0 || handle->interest == events) return;
  struct epoll_event event = {.events = events, .data.ptr = handle};
  int operation = events == 0 ? EPOLL_CTL_DEL : handle->interest == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
  if (epoll_ctl(epoll_fd, operation, handle->fd, &event) == 0) handle->interest = events;
}

void handle_close(struct handle *handle) {
  if (handle->fd < 0) return;
  handle_interest(handle, 0);
  close(handle->fd);
  handle->fd = -1;
}
