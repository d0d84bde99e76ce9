/*
 * delayd: long wires for a kernel without netem.
 *
 *   delayd ifA:ifB:DELAY_US ...
 *
 * Joins each pair of interfaces at layer 2 and holds every frame for DELAY_US microseconds, each way, give or
 * take an eighth of a millisecond.
 * One process serves all pairs. Frames wait in a ring of bytes per direction, received straight into it
 * and sent straight out of it, in order. A full ring drops the newest frame, as a full buffer does.
 * Writes "ready\n" to stdout when every interface is open; ends when its stdin ends.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define RING_BYTES (8u << 20)   /* per direction; untouched pages cost nothing */
#define LARGEST_FRAME 66000u    /* a 64 KiB segment with headers, in case an offload is on */
#define GRID 250000u            /* frames leave at whole steps of these nanoseconds, so that several share one wake-up */
#define BATCH 64                /* frames read from one interface before the others get a turn */
#define ID_TIMER UINT32_MAX
#define ID_STDIN (UINT32_MAX - 1)

struct frame {
  uint64_t due;     /* CLOCK_MONOTONIC, nanoseconds */
  uint32_t length;
  uint32_t next;    /* offset of the following frame in the ring */
};

struct direction {
  int from, to;
  uint64_t delay;
  unsigned char *ring;
  uint32_t head, tail;  /* offsets of the oldest frame and of the place for the next one */
  uint32_t waiting;     /* frames in the ring */
};

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void fail(const char *what, const char *which) {
  fprintf(stderr, "delayd: %s %s: %s\n", what, which, strerror(errno));
  exit(1);
}

static int open_interface(const char *name) {
  int yes = 1, buffer = 4 << 20;
  int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) fail("packet socket", name);
  /* the header carries what the sender left to be done (checksum, segmentation) to the other end */
  if (setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &yes, sizeof yes)) fail("PACKET_VNET_HDR", name);
  if (setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &yes, sizeof yes)) fail("PACKET_IGNORE_OUTGOING", name);
  setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &yes, sizeof yes);
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer);
  struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
  address.sll_ifindex = (int)if_nametoindex(name);
  if (address.sll_ifindex == 0) fail("no interface", name);
  if (bind(fd, (struct sockaddr *)&address, sizeof address)) fail("bind", name);
  struct packet_mreq all = {.mr_ifindex = address.sll_ifindex, .mr_type = PACKET_MR_PROMISC};
  if (setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof all)) fail("promiscuous", name);
  return fd;
}

/* The place for a frame of any size behind the last one, or NULL when the ring is full. */
static struct frame *place(struct direction *d) {
  const uint32_t need = sizeof(struct frame) + LARGEST_FRAME;
  if (d->waiting == 0) d->head = d->tail = 0;
  if (d->tail >= d->head && !(d->waiting && d->tail == d->head)) {
    if (d->tail + need <= RING_BYTES) return (struct frame *)(d->ring + d->tail);
    if (need >= d->head) return NULL;
    /* not enough room at the end: the newest frame must point to the start, so mark a wrap */
    return (struct frame *)d->ring;
  }
  return d->tail + need < d->head ? (struct frame *)(d->ring + d->tail) : NULL;
}

static void receive(struct direction *d, uint32_t *last) {
  unsigned char scrap[1];
  for (int count = 0; count < BATCH; count++) {
    struct frame *slot = place(d);
    if (!slot) {
      if (recv(d->from, scrap, sizeof scrap, MSG_DONTWAIT | MSG_TRUNC) < 0) return;
      continue;
    }
    ssize_t length = recv(d->from, slot + 1, LARGEST_FRAME, MSG_DONTWAIT);
    if (length <= 0) return; /* nothing there, or the link is down */
    uint32_t offset = (uint32_t)((unsigned char *)slot - d->ring);
    uint32_t end = offset + (uint32_t)sizeof(struct frame) + (uint32_t)length;
    slot->due = (now() + d->delay + GRID / 2) / GRID * GRID; /* on average as late as asked for */
    slot->length = (uint32_t)length;
    slot->next = (end + 7u) & ~7u;
    if (d->waiting) ((struct frame *)(d->ring + *last))->next = offset;
    else d->head = offset;
    *last = offset;
    d->tail = slot->next;
    d->waiting++;
  }
}

/* Sends what is due; returns when the next frame is, or 0 when none waits. */
static uint64_t deliver(struct direction *d, uint64_t time) {
  while (d->waiting) {
    struct frame *frame = (struct frame *)(d->ring + d->head);
    if (frame->due > time) return frame->due;
    /* a frame that the far end has no room for is lost, as on a wire */
    if (send(d->to, frame + 1, frame->length, MSG_DONTWAIT) < 0 && errno == EBADF) fail("send", "");
    d->head = frame->next;
    d->waiting--;
  }
  return 0;
}

int main(int count, char **argument) {
  uint32_t directions = 0;
  struct direction *all = calloc((size_t)count * 2, sizeof *all);
  uint32_t *last = calloc((size_t)count * 2, sizeof *last);
  int poll = epoll_create1(EPOLL_CLOEXEC);
  int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  if (!all || !last || poll < 0 || timer < 0) fail("start", "");
  prctl(PR_SET_TIMERSLACK, 1);
  for (int i = 1; i < count; i++) {
    char a[32], b[32];
    unsigned delay;
    if (sscanf(argument[i], "%31[^:]:%31[^:]:%u", a, b, &delay) != 3) {
      fprintf(stderr, "delayd: %s is not ifA:ifB:DELAY_US\n", argument[i]);
      return 2;
    }
    int ends[2] = {open_interface(a), open_interface(b)};
    for (int k = 0; k < 2; k++) {
      struct direction *d = &all[directions];
      *d = (struct direction){.from = ends[k], .to = ends[1 - k], .delay = (uint64_t)delay * 1000u};
      d->ring = mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (d->ring == MAP_FAILED) fail("ring", a);
      struct epoll_event wanted = {.events = EPOLLIN, .data.u32 = directions++};
      if (epoll_ctl(poll, EPOLL_CTL_ADD, d->from, &wanted)) fail("epoll", a);
    }
  }
  struct epoll_event wanted = {.events = EPOLLIN, .data.u32 = ID_TIMER};
  epoll_ctl(poll, EPOLL_CTL_ADD, timer, &wanted);
  wanted.data.u32 = ID_STDIN;
  epoll_ctl(poll, EPOLL_CTL_ADD, 0, &wanted);
  if (write(1, "ready\n", 6) != 6) return 1;
  uint64_t armed = 0;
  for (;;) {
    uint64_t time = now(), next = 0;
    for (uint32_t i = 0; i < directions; i++) {
      uint64_t due = deliver(&all[i], time);
      if (due && (next == 0 || due < next)) next = due;
    }
    struct itimerspec alarm = {.it_value = {(time_t)(next / 1000000000u), (long)(next % 1000000000u)}};
    if (next != armed) timerfd_settime(timer, TFD_TIMER_ABSTIME, &alarm, NULL);
    armed = next;
    struct epoll_event events[64];
    int ready = epoll_wait(poll, events, 64, -1);
    if (ready < 0 && errno != EINTR) fail("epoll_wait", "");
    for (int i = 0; i < ready; i++) {
      uint32_t id = events[i].data.u32;
      if (id == ID_TIMER) {
        uint64_t expirations;
        if (read(timer, &expirations, sizeof expirations) < 0 && errno != EAGAIN) fail("timer", "");
      } else if (id == ID_STDIN) {
        char scrap[64];
        if (read(0, scrap, sizeof scrap) <= 0) return 0;
      } else {
        receive(&all[id], &last[id]);
      }
    }
  }
}
