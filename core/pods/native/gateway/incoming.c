#include "incoming.h"

#include <sys/socket.h>

#include "progress.h"
#include "service.h"
#include "wire.h"

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
void session_bytes(struct stream *stream, const uint8_t *bytes, size_t count) {
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
      service_take(session, bytes, part);
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
  session_progress(session, 0);
}
