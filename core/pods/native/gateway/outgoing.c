#include "outgoing.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "finished.h"
#include "limits.h"
#include "running-time.h"
#include "wire.h"

static int64_t deferred_since = -1; /* on this host's clock; -1: nothing is deferred */

void out_frame(struct stream *stream, uint8_t type, uint32_t length) {
  stream->out[stream->out_length] = type;
  put_u32(stream->out + stream->out_length + 1, length);
  stream->out_length += FRAME_BYTES;
}

static void out_frame_u64(struct stream *stream, uint8_t type, uint64_t value) {
  out_frame(stream, type, 8);
  put_u64(stream->out + stream->out_length, value);
  stream->out_length += 8;
}

void out_reply(struct stream *stream, uint8_t status, uint64_t received) {
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

void stream_flush(struct stream *stream) { stream_write(stream, false); }

/* Says what was deferred and found nothing to travel with. */
void deferred_say(void) {
  if (deferred_since < 0 || (now_ms >= deferred_since && now_ms - deferred_since < DEFER_LIMIT_MS)) return;
  deferred_since = -1;
  for (struct stream *at = streams, *next; at; at = next) {
    next = at->all_next;
    if (at->deferred) stream_write(at, true);
  }
}

/* How long the loop may sleep. */
int deferred_sleep_ms(void) { return deferred_since < 0 ? TICK_MS : DEFER_LIMIT_MS; }

/* Says no to whoever opened a stream, and hangs up. */
void stream_refuse(struct stream *stream, uint8_t status) {
  out_reply(stream, status, 0);
  stream->close_after_flush = true;
  stream_flush(stream);
}
