/* The gateway: pid 1 of a pod. It starts the service, reaps what the service leaves behind, and
 * carries the sessions of the overlay into the service.
 *
 *   gateway --socket PATH --service-address IPv4 --source-address IPv4 [--io-uring allowed|refused]
 *           [--old-root PATH] -- COMMAND...
 *
 * A connection survives a move only if both of its ends move or neither does. So the site's end of
 * every connection into the service lives here, inside the pod, and is checkpointed with it; towards
 * the overlay the gateway speaks a stream that is resumed by acknowledged offsets (the session
 * protocol, ARCHITECTURE.md). One thread, one epoll loop; every table and buffer has a bound.
 *
 * Time is counted as running time: after a restore the clocks have jumped, and the time a pod spent
 * frozen must not expire anybody's session. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "accept-queues.h"
#include "confine.h"
#include "no-io-uring.h"
#include "ring.h"

enum {
  MAX_SESSIONS = 1024,
  MAX_STREAMS = 1280,
  MAX_FINISHED = 1024,
  HEADER_BYTES = 31,
  REPLY_BYTES = 13,
  FRAME_BYTES = 5,
  DATA_FRAME_BYTES = 65536,
  ACK_EVERY_BYTES = 65536,
  READ_BYTES = 65536,
  TICK_MS = 1000,
  DETACHED_LIMIT_MS = 60000,
  HEADER_LIMIT_MS = 10000,
  CONNECT_LIMIT_MS = 10000,
  DRAIN_LIMIT_MS = 100,
  DEFER_LIMIT_MS = 5,
  HASH_SIZE = 1024,
};
enum { KIND_OPEN = 1, KIND_RESUME = 2, KIND_CONTROL = 9 };
enum { STATUS_OK = 0, STATUS_UNKNOWN = 1, STATUS_REFUSED = 2, STATUS_PAUSED = 3, STATUS_TOO_MANY = 4 };
enum { FRAME_DATA = 1, FRAME_ACK = 2, FRAME_FIN = 3, FRAME_RESET = 4, FRAME_FINACK = 5 };
enum { RESET_SERVICE = 1, RESET_PROTOCOL = 4 };
enum handle_kind { HANDLE_LISTENER, HANDLE_SIGNALS, HANDLE_STREAM, HANDLE_SERVICE };
enum stream_mode { STREAM_HEADER, STREAM_SESSION, STREAM_CONTROL };

struct handle {
  enum handle_kind kind;
  int fd;
  uint32_t interest; /* 0: not in the epoll set at all, so that a hang-up cannot spin the loop */
};

struct stream;

struct session {
  struct handle service;
  uint8_t id[16];
  struct stream *stream;
  struct session *next; /* in its hash bucket */
  struct session *all_next, *all_previous;
  struct ring up;   /* received from the client, not yet written to the service */
  struct ring down; /* read from the service, not yet acknowledged by the client */
  uint64_t up_received, up_delivered, up_acked;
  uint64_t down_total, down_acked, down_sent;
  uint64_t up_fin_offset;
  uint64_t since; /* running time at which it was detached, or began to connect */
  uint16_t port;
  bool connecting, up_fin, up_shut, up_discard, finack_due, finack_sent;
  bool down_end, fin_sent, down_finacked;
  uint8_t reset; /* a RESET still to be sent, once what the service had said is out */
  bool dead;
};

struct stream {
  struct handle handle;
  enum stream_mode mode;
  struct session *session;
  struct stream *all_next, *all_previous;
  uint64_t since;
  uint8_t in[64];
  uint32_t in_length;
  uint8_t frame_type;
  uint32_t frame_left; /* bytes of the incoming frame's payload still to come */
  bool in_frame;
  uint8_t out[512];
  uint32_t out_offset, out_length;
  uint32_t data_left; /* bytes of the outgoing DATA frame still to be written from the ring */
  uint8_t tail[16]; /* a FIN right behind the data, in the same write */
  uint32_t tail_offset, tail_length;
  bool reply_due, close_after_flush, deferred, dead;
  uint64_t reply_received;
};

struct finished {
  uint8_t id[16];
  uint64_t received, since;
  bool used;
};

static int epoll_fd = -1;
static struct handle listener = {HANDLE_LISTENER, -1, 0};
static struct handle signals = {HANDLE_SIGNALS, -1, 0};
static struct sockaddr_in service_address, source_address;
static struct session *buckets[HASH_SIZE];
static struct session *sessions;
static struct stream *streams;
static struct session *dead_sessions;
static struct stream *dead_streams;
static struct finished finished[MAX_FINISHED];
static uint32_t finished_next;
static int session_count, stream_count;
static uint64_t sessions_opened, bytes_up, bytes_down;
static uint64_t running_ms;
static int64_t now_ms, deferred_since; /* on this host's clock; -1: nothing is deferred */
static bool paused;
static pid_t service_pid;
static bool without_io_uring;
static struct rlimit inherited_files;

static void session_progress(struct session *session);
static void stream_flush(struct stream *stream);

/* -- numbers on the wire (big-endian) ----------------------------------------------------------- */

static void put_u32(uint8_t *at, uint32_t value) {
  for (int i = 0; i < 4; i++) at[i] = (uint8_t)(value >> (24 - 8 * i));
}
static void put_u64(uint8_t *at, uint64_t value) {
  for (int i = 0; i < 8; i++) at[i] = (uint8_t)(value >> (56 - 8 * i));
}
static uint32_t get_u32(const uint8_t *at) {
  return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}
static uint64_t get_u64(const uint8_t *at) { return (uint64_t)get_u32(at) << 32 | get_u32(at + 4); }

/* -- running time ------------------------------------------------------------------------------- */

/* Adds the time since the last call. The clock belongs to whatever host the pod runs on, so a jump
 * (back, or further than two ticks) is a restore or a freeze and counts as one tick at most. */
static void running_time_update(void) {
  static int64_t last = -1;
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  int64_t at = now_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
  int64_t passed = last < 0 ? 0 : at - last;
  last = at;
  if (passed < 0) passed = 0;
  if (passed > 2 * TICK_MS) passed = TICK_MS;
  running_ms += (uint64_t)passed;
}

/* -- epoll -------------------------------------------------------------------------------------- */

static void handle_interest(struct handle *handle, uint32_t events) {
  if (handle->fd < 0 || handle->interest == events) return;
  struct epoll_event event = {.events = events, .data.ptr = handle};
  int operation = events == 0 ? EPOLL_CTL_DEL : handle->interest == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
  if (epoll_ctl(epoll_fd, operation, handle->fd, &event) == 0) handle->interest = events;
}

static void handle_close(struct handle *handle) {
  if (handle->fd < 0) return;
  handle_interest(handle, 0);
  close(handle->fd);
  handle->fd = -1;
}

/* -- sessions: table and life ------------------------------------------------------------------- */

static uint32_t bucket_of(const uint8_t *id) { return get_u32(id) % HASH_SIZE; }

static struct session *session_find(const uint8_t *id) {
  for (struct session *at = buckets[bucket_of(id)]; at; at = at->next)
    if (memcmp(at->id, id, sizeof at->id) == 0) return at;
  return NULL;
}

static struct session *session_new(const uint8_t *id) {
  struct session *session = calloc(1, sizeof *session);
  if (!session) return NULL;
  memcpy(session->id, id, sizeof session->id);
  session->service = (struct handle){HANDLE_SERVICE, -1, 0};
  session->next = buckets[bucket_of(id)];
  buckets[bucket_of(id)] = session;
  session->all_next = sessions;
  if (sessions) sessions->all_previous = session;
  sessions = session;
  session_count++;
  sessions_opened++;
  return session;
}

/* Takes a stream out of service; its memory goes once the events at hand are worked through. */
static void stream_close(struct stream *stream) {
  if (stream->dead) return;
  stream->dead = true;
  if (stream->session) {
    stream->session->stream = NULL;
    stream->session->since = running_ms;
    stream->session = NULL;
  }
  handle_close(&stream->handle);
  if (stream->all_previous) stream->all_previous->all_next = stream->all_next;
  else streams = stream->all_next;
  if (stream->all_next) stream->all_next->all_previous = stream->all_previous;
  stream->all_next = dead_streams;
  dead_streams = stream;
  stream_count--;
}

static void session_destroy(struct session *session) {
  if (session->dead) return;
  session->dead = true;
  if (session->stream) stream_close(session->stream);
  handle_close(&session->service);
  ring_release(&session->up);
  ring_release(&session->down);
  struct session **link = &buckets[bucket_of(session->id)];
  while (*link != session) link = &(*link)->next;
  *link = session->next;
  if (session->all_previous) session->all_previous->all_next = session->all_next;
  else sessions = session->all_next;
  if (session->all_next) session->all_next->all_previous = session->all_previous;
  session->all_next = dead_sessions;
  dead_sessions = session;
  session_count--;
}

static void bury_the_dead(void) {
  while (dead_streams) {
    struct stream *stream = dead_streams;
    dead_streams = stream->all_next;
    free(stream);
  }
  while (dead_sessions) {
    struct session *session = dead_sessions;
    dead_sessions = session->all_next;
    free(session);
  }
}

/* A finished session is remembered for a while: a client whose last FINACK got lost on the way may
 * resume and hear it again instead of "unknown". */
static void finished_remember(const struct session *session) {
  struct finished *entry = &finished[finished_next];
  finished_next = (finished_next + 1) % MAX_FINISHED;
  memcpy(entry->id, session->id, sizeof entry->id);
  entry->received = session->up_received;
  entry->since = running_ms;
  entry->used = true;
}

static struct finished *finished_find(const uint8_t *id) {
  for (int i = 0; i < MAX_FINISHED; i++)
    if (finished[i].used && memcmp(finished[i].id, id, sizeof finished[i].id) == 0) {
      if (running_ms - finished[i].since <= DETACHED_LIMIT_MS) return &finished[i];
      finished[i].used = false;
    }
  return NULL;
}

/* -- the service's side of a session ------------------------------------------------------------ */

static int service_connect(struct session *session, uint16_t port) {
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
static void service_lost(struct session *session) {
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

static void service_write(struct session *session) {
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

static void service_read(struct session *session) {
  if (session->connecting || session->down_end || session->service.fd < 0) return;
  uint32_t room = ring_room(&session->down);
  if (room == 0 || ring_reserve(&session->down) < 0) return;
  /* Twice: a service often says its last and hangs up in one go, and then both travel together. */
  for (int turn = 0; turn < 2 && room > 0; turn++) {
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

/* -- the overlay's side of a session ------------------------------------------------------------ */

static void out_frame(struct stream *stream, uint8_t type, uint32_t length) {
  stream->out[stream->out_length] = type;
  put_u32(stream->out + stream->out_length + 1, length);
  stream->out_length += FRAME_BYTES;
}

static void out_frame_u64(struct stream *stream, uint8_t type, uint64_t value) {
  out_frame(stream, type, 8);
  put_u64(stream->out + stream->out_length, value);
  stream->out_length += 8;
}

static void out_reply(struct stream *stream, uint8_t status, uint64_t received) {
  memcpy(stream->out + stream->out_length, "MVS1", 4);
  stream->out[stream->out_length + 4] = status;
  put_u64(stream->out + stream->out_length + 5, received);
  stream->out_length += REPLY_BYTES;
}

/* What nobody waits for (an ACK, and the reply to a client that has spoken already) travels with the next thing
 * that is said, or by itself after a few milliseconds: each message by itself wakes every hop of the path. */
static bool stream_may_defer(const struct stream *stream, uint64_t unsent) {
  const struct session *session = stream->session;
  if (unsent > 0 || session->reset != 0 || session->finack_due) return false;
  if (session->down_end && !session->fin_sent) return false;
  if (stream->reply_due && session->up_received == stream->reply_received) return false;
  return session->up_delivered - session->up_acked < ACK_EVERY_BYTES;
}

/* Puts the next things to say into the (empty) out buffer: never a queue, always the latest truth. */
static void stream_compose(struct stream *stream, bool hurry) {
  struct session *session = stream->session;
  if (!session || session->connecting) return;
  uint64_t unsent = session->down_total - session->down_sent;
  bool ack_due = session->up_delivered > session->up_acked &&
                 (session->up.length == 0 || session->up_delivered - session->up_acked >= ACK_EVERY_BYTES);
  if (!hurry && stream_may_defer(stream, unsent)) {
    stream->deferred = stream->reply_due || ack_due;
    if (stream->deferred && deferred_since < 0) deferred_since = now_ms;
    return;
  }
  stream->deferred = false;
  if (stream->reply_due) {
    out_reply(stream, STATUS_OK, stream->reply_received);
    stream->reply_due = false;
  }
  if (ack_due) {
    out_frame_u64(stream, FRAME_ACK, session->up_delivered);
    session->up_acked = session->up_delivered;
  }
  if (session->finack_due) {
    out_frame(stream, FRAME_FINACK, 0);
    session->finack_due = false;
    session->finack_sent = true;
  }
  if (session->reset != 0 && (unsent == 0 || session->reset == RESET_PROTOCOL)) {
    out_frame(stream, FRAME_RESET, 1);
    stream->out[stream->out_length++] = session->reset;
    stream->close_after_flush = true;
  } else if (unsent > 0) {
    stream->data_left = unsent < DATA_FRAME_BYTES ? (uint32_t)unsent : DATA_FRAME_BYTES;
    out_frame(stream, FRAME_DATA, stream->data_left);
    if (stream->data_left == unsent && session->down_end && !session->fin_sent && session->reset == 0) {
      stream->tail[0] = FRAME_FIN;
      put_u32(stream->tail + 1, 8);
      put_u64(stream->tail + FRAME_BYTES, session->down_total);
      stream->tail_length = FRAME_BYTES + 8;
      session->fin_sent = true;
    }
  } else if (session->down_end && !session->fin_sent) {
    out_frame_u64(stream, FRAME_FIN, session->down_total);
    session->fin_sent = true;
  }
}

/* Writes what can be written, and ends the session when all has been said on both sides. */
static void stream_write(struct stream *stream, bool hurry) {
  while (!stream->dead) {
    struct session *session = stream->session;
    if (stream->out_offset == stream->out_length && stream->data_left == 0 &&
        stream->tail_offset == stream->tail_length) {
      stream->out_offset = stream->out_length = stream->tail_offset = stream->tail_length = 0;
      if (stream->close_after_flush) {
        if (session && session->reset != 0) session_destroy(session);
        else stream_close(stream);
        return;
      }
      if (session && session->finack_sent && session->down_finacked) {
        finished_remember(session);
        session_destroy(session);
        return;
      }
      stream_compose(stream, hurry);
      if (stream->out_length == 0) break;
    }
    struct iovec pieces[4];
    size_t used = 0;
    uint32_t head = stream->out_length - stream->out_offset;
    if (head > 0) pieces[used++] = (struct iovec){stream->out + stream->out_offset, head};
    if (stream->data_left > 0)
      used += (size_t)ring_pieces(&session->down, (uint32_t)(session->down_sent - session->down_acked),
                                  stream->data_left, pieces + used);
    uint32_t tail = stream->tail_length - stream->tail_offset;
    if (tail > 0) pieces[used++] = (struct iovec){stream->tail + stream->tail_offset, tail};
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = used};
    ssize_t written = sendmsg(stream->handle.fd, &message, MSG_NOSIGNAL);
    if (written < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) {
        stream_close(stream);
        return;
      }
      break;
    }
    uint32_t from_head = (uint32_t)written < head ? (uint32_t)written : head;
    stream->out_offset += from_head;
    uint32_t left = (uint32_t)written - from_head;
    uint32_t from_ring = left < stream->data_left ? left : stream->data_left;
    if (from_ring > 0) {
      session->down_sent += from_ring;
      stream->data_left -= from_ring;
    }
    stream->tail_offset += left - from_ring;
  }
  if (stream->dead) return;
  bool waiting = stream->out_offset < stream->out_length || stream->data_left > 0 ||
                 stream->tail_offset < stream->tail_length;
  handle_interest(&stream->handle, EPOLLIN | (waiting ? EPOLLOUT : 0));
}

static void stream_flush(struct stream *stream) { stream_write(stream, false); }

/* Says what was deferred and found nothing to travel with. */
static void say_deferred(void) {
  if (deferred_since < 0 || (now_ms >= deferred_since && now_ms - deferred_since < DEFER_LIMIT_MS)) return;
  deferred_since = -1;
  for (struct stream *at = streams, *next; at; at = next) {
    next = at->all_next;
    if (at->deferred) stream_write(at, true);
  }
}

/* How long the loop may sleep. */
static int sleep_ms(void) { return deferred_since < 0 ? TICK_MS : DEFER_LIMIT_MS; }

/* Moves everything that can move for one session and asks epoll for what is missing. */
static void session_progress(struct session *session) {
  if (session->dead) return;
  service_write(session);
  service_read(session);
  if (session->down_end && session->up_shut) handle_close(&session->service);
  if (session->stream) stream_flush(session->stream);
  if (session->dead || session->service.fd < 0) return;
  uint32_t wanted = 0;
  if (session->connecting) wanted = EPOLLOUT;
  else {
    if (!session->down_end && ring_room(&session->down) > 0) wanted |= EPOLLIN;
    if (session->up.length > 0) wanted |= EPOLLOUT;
  }
  handle_interest(&session->service, wanted);
}

static void session_fail(struct session *session, uint8_t reason) {
  session->reset = reason;
  session_progress(session);
}

static void session_data(struct session *session, const uint8_t *bytes, uint32_t count) {
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

/* A complete frame other than DATA. Returns false when the client broke the protocol. */
static bool session_frame(struct session *session, uint8_t type, const uint8_t *payload) {
  switch (type) {
    case FRAME_ACK: {
      uint64_t total = get_u64(payload);
      if (total > session->down_sent) return false;
      if (total > session->down_acked) {
        uint32_t freed = (uint32_t)(total - session->down_acked);
        session->down_acked = total;
        ring_consume(&session->down, freed);
      }
      return true;
    }
    case FRAME_FIN: {
      uint64_t end = get_u64(payload);
      if (end != session->up_received) return false;
      if (session->up_fin) session->finack_due = session->up_shut;
      session->up_fin = true;
      session->up_fin_offset = end;
      return true;
    }
    case FRAME_FINACK:
      if (!session->fin_sent) return false;
      session->down_finacked = true;
      if (session->down.length > 0) ring_release(&session->down);
      session->down_acked = session->down_total;
      return true;
    default:
      return false;
  }
}

static bool frame_length_allowed(uint8_t type, uint32_t length) {
  switch (type) {
    case FRAME_DATA: return length <= RING_BYTES;
    case FRAME_ACK:
    case FRAME_FIN: return length == 8;
    case FRAME_RESET: return length == 1;
    case FRAME_FINACK: return length == 0;
    default: return false;
  }
}

/* Takes frames apart as they arrive; payloads are never gathered, only passed on. */
static void session_bytes(struct stream *stream, const uint8_t *bytes, size_t count) {
  struct session *session = stream->session;
  while (count > 0 && !session->dead && session->reset != RESET_PROTOCOL) {
    if (!stream->in_frame) {
      stream->in[stream->in_length++] = *bytes++;
      count--;
      if (stream->in_length < FRAME_BYTES) continue;
      stream->frame_type = stream->in[0];
      stream->frame_left = get_u32(stream->in + 1);
      stream->in_length = 0;
      if (!frame_length_allowed(stream->frame_type, stream->frame_left)) {
        session_fail(session, RESET_PROTOCOL);
        return;
      }
      stream->in_frame = true;
    } else if (stream->frame_type == FRAME_DATA) {
      uint32_t part = count < stream->frame_left ? (uint32_t)count : stream->frame_left;
      if (session->up_fin || part > ring_room(&session->up)) {
        session_fail(session, RESET_PROTOCOL);
        return;
      }
      session_data(session, bytes, part);
      bytes += part;
      count -= part;
      stream->frame_left -= part;
    } else {
      stream->in[stream->in_length++] = *bytes++;
      count--;
      stream->frame_left--;
    }
    if (!stream->in_frame || stream->frame_left > 0) continue;
    stream->in_frame = false;
    stream->in_length = 0;
    if (stream->frame_type == FRAME_DATA) continue;
    if (stream->frame_type == FRAME_RESET) {
      struct linger hard = {1, 0}; /* the client aborted: the service shall see a reset too */
      if (session->service.fd >= 0)
        setsockopt(session->service.fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
      session_destroy(session);
      return;
    }
    if (!session_frame(session, stream->frame_type, stream->in)) {
      session_fail(session, RESET_PROTOCOL);
      return;
    }
  }
  session_progress(session);
}

/* -- streams: header, attach, control ----------------------------------------------------------- */

static void stream_refuse(struct stream *stream, uint8_t status) {
  out_reply(stream, status, 0);
  stream->close_after_flush = true;
  stream_flush(stream);
}

/* Gives a session a new stream (an old one is replaced), rewound to what each side really has: what
 * the service has not taken yet is dropped here and sent again by the client, which still keeps it. */
static void session_attach(struct session *session, struct stream *stream, uint64_t received) {
  if (received < session->down_acked || received > session->down_total) {
    session_destroy(session);
    stream_refuse(stream, STATUS_UNKNOWN);
    return;
  }
  if (session->stream) stream_close(session->stream);
  session->stream = stream;
  stream->session = session;
  stream->mode = STREAM_SESSION;
  uint32_t known = (uint32_t)(received - session->down_acked);
  session->down_acked = session->down_sent = received;
  if (known > 0) ring_consume(&session->down, known);
  ring_release(&session->up);
  session->up_received = session->up_delivered;
  session->up_acked = session->up_delivered;
  if (!session->up_shut) session->up_fin = false;
  if (!session->down_finacked) session->fin_sent = false;
  session->finack_due = session->up_shut;
  stream->reply_due = true;
  stream->reply_received = session->up_delivered;
  session_progress(session);
}

static void stream_header(struct stream *stream) {
  const uint8_t *id = stream->in + 5;
  uint8_t kind = stream->in[4];
  uint16_t port = (uint16_t)(stream->in[21] << 8 | stream->in[22]);
  uint64_t received = get_u64(stream->in + 23);
  stream->in_length = 0;
  if (memcmp(stream->in, "MVS1", 4) != 0 || (kind != KIND_OPEN && kind != KIND_RESUME && kind != KIND_CONTROL)) {
    stream_close(stream);
    return;
  }
  if (kind == KIND_CONTROL) {
    stream->mode = STREAM_CONTROL;
    return;
  }
  if (paused) {
    stream_refuse(stream, STATUS_PAUSED);
    return;
  }
  struct session *session = session_find(id);
  if (session) {
    session_attach(session, stream, received);
    return;
  }
  struct finished *entry = finished_find(id);
  if (entry) {
    out_reply(stream, STATUS_OK, entry->received);
    out_frame(stream, FRAME_FINACK, 0);
    stream->close_after_flush = true;
    stream_flush(stream);
    return;
  }
  if (kind == KIND_RESUME || received != 0) {
    stream_refuse(stream, STATUS_UNKNOWN);
    return;
  }
  if (session_count >= MAX_SESSIONS || !(session = session_new(id))) {
    stream_refuse(stream, STATUS_TOO_MANY);
    return;
  }
  if (port == 0 || service_connect(session, port) < 0) {
    session_destroy(session);
    stream_refuse(stream, STATUS_REFUSED);
    return;
  }
  session_attach(session, stream, 0);
}

/* The connection to the service was made, or was not. */
static void service_connected(struct session *session) {
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(session->service.fd, SOL_SOCKET, SO_ERROR, &error, &size);
  struct stream *stream = session->stream;
  if (error == 0) {
    session->connecting = false;
    if (!stream) session->since = running_ms;
    session_progress(session);
    return;
  }
  if (stream) {
    stream->session = NULL;
    session->stream = NULL;
    stream->mode = STREAM_HEADER;
  }
  session_destroy(session);
  if (stream) stream_refuse(stream, STATUS_REFUSED);
}

/* A connection on which nothing has been said may have waited to be accepted when the pod was frozen, and then
 * only this end of it was carried. A new one tells neither the service nor the client anything different. */
static void silent_sessions_renew(void) {
  for (struct session *at = sessions, *next; at; at = next) {
    next = at->all_next;
    if (at->connecting || at->service.fd < 0 || at->up_delivered > 0 || at->down_total > 0 || at->down_end || at->up_shut)
      continue;
    handle_close(&at->service);
    if (service_connect(at, at->port) < 0) service_lost(at);
    session_progress(at);
  }
}

static void control_answer(struct stream *stream, const char *text, size_t length) {
  ssize_t written = send(stream->handle.fd, text, length, MSG_NOSIGNAL);
  if (written != (ssize_t)length) stream_close(stream);
}

/* Leaves no unix connection open, so that a checkpoint finds none. A session that was still
 * connecting is forgotten: its client has no answer yet and will open it again. */
static void gateway_pause(struct stream *asking) {
  paused = true;
  int waiting;
  while ((waiting = accept4(listener.fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) close(waiting);
  for (struct stream *at = streams, *next; at; at = next) {
    next = at->all_next;
    if (at != asking) stream_close(at);
  }
  for (struct session *at = sessions, *next; at; at = next) {
    next = at->all_next;
    if (at->connecting) session_destroy(at);
  }
  ring_drop_spares();
}

/* A connection that still waits to be accepted belongs to no process and would be lost in a
 * checkpoint; gives the service a bounded while to take what is there. */
static int gateway_drain(void) {
  int waiting = accept_queue_length();
  for (int tries = 0; waiting > 0 && tries < DRAIN_LIMIT_MS; tries++) {
    usleep(1000);
    waiting = accept_queue_length();
  }
  return waiting;
}

static void control_line(struct stream *stream, const char *line) {
  bool pause = strcmp(line, "pause") == 0;
  char answer[512];
  if (pause) gateway_pause(stream);
  else if (strcmp(line, "resume") == 0) {
    if (paused) silent_sessions_renew();
    paused = false;
  } else if (strcmp(line, "stats") != 0) {
    const char unknown[] = "{\"ok\":false,\"error\":\"unknown command\"}\n";
    control_answer(stream, unknown, sizeof unknown - 1);
    return;
  }
  int waiting = pause ? gateway_drain() : accept_queue_length();
  int attached = 0;
  uint64_t buffered = 0;
  for (struct session *at = sessions; at; at = at->all_next) {
    attached += at->stream != NULL;
    buffered += at->up.length + at->down.length;
  }
  int length = snprintf(answer, sizeof answer,
                        "{\"ok\":true,\"paused\":%s,\"sessions\":%d,\"attached\":%d,\"detached\":%d,"
                        "\"streams\":%d,\"opened\":%llu,\"upBytes\":%llu,\"downBytes\":%llu,"
                        "\"bufferedBytes\":%llu,\"runningMs\":%llu,\"waiting\":%d}\n",
                        paused ? "true" : "false", session_count, attached, session_count - attached,
                        stream_count, (unsigned long long)sessions_opened, (unsigned long long)bytes_up,
                        (unsigned long long)bytes_down, (unsigned long long)buffered,
                        (unsigned long long)running_ms, waiting);
  control_answer(stream, answer, (size_t)length);
  if (pause) stream_close(stream);
}

static void control_bytes(struct stream *stream, const uint8_t *bytes, size_t count) {
  for (size_t i = 0; i < count && !stream->dead; i++) {
    if (bytes[i] == '\n') {
      stream->in[stream->in_length] = 0;
      stream->in_length = 0;
      control_line(stream, (const char *)stream->in);
    } else if (stream->in_length >= sizeof stream->in - 1) {
      stream_close(stream);
    } else {
      stream->in[stream->in_length++] = bytes[i];
    }
  }
}

static void stream_readable(struct stream *stream) {
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

static void listener_readable(void) {
  for (int i = 0; i < 64; i++) {
    int fd = accept4(listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EMFILE || errno == ENFILE) handle_interest(&listener, 0); /* until the next tick */
      return;
    }
    struct stream *stream = stream_count < MAX_STREAMS ? calloc(1, sizeof *stream) : NULL;
    if (!stream) {
      close(fd);
      continue;
    }
    stream->handle = (struct handle){HANDLE_STREAM, fd, 0};
    stream->since = running_ms;
    stream->all_next = streams;
    if (streams) streams->all_previous = stream;
    streams = stream;
    stream_count++;
    handle_interest(&stream->handle, EPOLLIN);
  }
}

/* -- the clockwork ------------------------------------------------------------------------------ */

static void tick(void) {
  handle_interest(&listener, EPOLLIN);
  for (struct session *at = sessions, *next; at; at = next) {
    next = at->all_next;
    uint64_t age = running_ms - at->since;
    if (at->connecting && age > CONNECT_LIMIT_MS) {
      struct stream *stream = at->stream;
      if (stream) {
        stream->session = NULL;
        at->stream = NULL;
        stream->mode = STREAM_HEADER;
      }
      session_destroy(at);
      if (stream) stream_refuse(stream, STATUS_REFUSED);
    } else if (!at->stream && !paused && age > DETACHED_LIMIT_MS) {
      session_destroy(at);
    }
  }
  for (struct stream *at = streams, *next; at; at = next) {
    next = at->all_next;
    if (at->mode == STREAM_HEADER && running_ms - at->since > HEADER_LIMIT_MS) stream_close(at);
  }
}

static void service_event(struct session *session, uint32_t events) {
  if (session->dead) return;
  if (session->connecting) {
    if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) service_connected(session);
    return;
  }
  session_progress(session);
}

/* Reaps orphans; when the service itself is gone, so is the pod. */
static void signals_readable(void) {
  struct signalfd_siginfo info;
  while (read(signals.fd, &info, sizeof info) == (ssize_t)sizeof info) {
    if (info.ssi_signo != SIGCHLD) {
      kill(service_pid, (int)info.ssi_signo);
      continue;
    }
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
      if (pid == service_pid) exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
  }
}

static void dispatch(struct epoll_event *event) {
  struct handle *handle = event->data.ptr;
  switch (handle->kind) {
    case HANDLE_LISTENER: listener_readable(); break;
    case HANDLE_SIGNALS: signals_readable(); break;
    case HANDLE_SERVICE: service_event((struct session *)handle, event->events); break;
    case HANDLE_STREAM: {
      struct stream *stream = (struct stream *)handle;
      if (stream->dead) break;
      if (event->events & EPOLLOUT) {
        struct session *session = stream->session;
        stream_flush(stream);
        if (session) session_progress(session);
      }
      if (!stream->dead && (event->events & (EPOLLIN | EPOLLERR | EPOLLHUP))) stream_readable(stream);
      break;
    }
  }
}

/* -- start -------------------------------------------------------------------------------------- */

static _Noreturn void fail(const char *what) {
  fprintf(stderr, "gateway: %s: %s\n", what, strerror(errno));
  exit(111);
}

static void read_address(const char *text, struct sockaddr_in *address) {
  *address = (struct sockaddr_in){.sin_family = AF_INET};
  if (inet_pton(AF_INET, text, &address->sin_addr) == 1) return;
  errno = EINVAL;
  fail(text);
}

static void listen_on(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    fail(path);
  }
  strcpy(address.sun_path, path);
  unlink(path);
  listener.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (listener.fd < 0 || bind(listener.fd, (struct sockaddr *)&address, sizeof address) < 0) fail(path);
  if (chmod(path, 0600) < 0 || listen(listener.fd, 256) < 0) fail(path);
}

static void start_service(char **command, const sigset_t *mask_before) {
  service_pid = fork();
  if (service_pid < 0) fail("fork");
  if (service_pid > 0) return;
  setrlimit(RLIMIT_NOFILE, &inherited_files);
  sigprocmask(SIG_SETMASK, mask_before, NULL);
  setsid();
  if (without_io_uring && refuse_io_uring() < 0) fail("could not keep the service from io_uring");
  execvp(command[0], command);
  fail(command[0]);
}

int main(int count, char **arguments) {
  const char *socket_path = NULL, *service = NULL, *source = NULL, *old_root = NULL;
  int at = 1;
  for (; at + 1 < count && strcmp(arguments[at], "--") != 0; at += 2) {
    if (strcmp(arguments[at], "--socket") == 0) socket_path = arguments[at + 1];
    else if (strcmp(arguments[at], "--service-address") == 0) service = arguments[at + 1];
    else if (strcmp(arguments[at], "--source-address") == 0) source = arguments[at + 1];
    else if (strcmp(arguments[at], "--old-root") == 0) old_root = arguments[at + 1];
    else if (strcmp(arguments[at], "--io-uring") == 0) without_io_uring = strcmp(arguments[at + 1], "refused") == 0;
    else break;
  }
  if (!socket_path || !service || !source || at + 1 >= count || strcmp(arguments[at], "--") != 0) {
    fputs("usage: gateway --socket PATH --service-address IPv4 --source-address IPv4 "
          "[--io-uring allowed|refused] [--old-root PATH] -- COMMAND...\n",
          stderr);
    return 2;
  }
  read_address(service, &service_address);
  read_address(source, &source_address);

  close_range(3, ~0U, 0); /* nothing of whoever started the pod may come along */
  if (old_root && confine(old_root) < 0) fail("could not confine the pod");
  getrlimit(RLIMIT_NOFILE, &inherited_files);
  struct rlimit files = inherited_files;
  files.rlim_cur = files.rlim_max < 4096 ? files.rlim_max : 4096;
  setrlimit(RLIMIT_NOFILE, &files);

  sigset_t mask, mask_before;
  sigemptyset(&mask);
  sigaddset(&mask, SIGCHLD);
  sigaddset(&mask, SIGTERM);
  sigaddset(&mask, SIGINT);
  sigaddset(&mask, SIGHUP);
  sigaddset(&mask, SIGUSR1);
  sigprocmask(SIG_BLOCK, &mask, &mask_before);
  signals.fd = signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC);
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (signals.fd < 0 || epoll_fd < 0) fail("epoll");
  listen_on(socket_path);
  handle_interest(&signals, EPOLLIN);
  handle_interest(&listener, EPOLLIN);
  start_service(arguments + at + 1, &mask_before);

  uint64_t last_tick = 0;
  deferred_since = -1;
  for (;;) {
    struct epoll_event events[64];
    int ready = epoll_wait(epoll_fd, events, 64, sleep_ms());
    if (ready < 0 && errno != EINTR) fail("epoll_wait");
    running_time_update();
    for (int i = 0; i < ready; i++) dispatch(&events[i]);
    say_deferred();
    if (running_ms - last_tick >= TICK_MS) {
      last_tick = running_ms;
      tick();
    }
    bury_the_dead();
  }
}
