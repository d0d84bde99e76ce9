#include "attach.h"

#include <string.h>
#include <sys/socket.h>

#include "finished.h"
#include "limits.h"
#include "outgoing.h"
#include "progress.h"
#include "running-time.h"
#include "service.h"
#include "wire.h"

bool paused;

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
  session_progress(session, 0);
}

void stream_header(struct stream *stream) {
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

/* The service takes no connection for this session: it ends, and its client hears so. */
void session_refuse(struct session *session) {
  struct stream *stream = session->stream;
  if (stream) {
    stream->session = NULL;
    session->stream = NULL;
    stream->mode = STREAM_HEADER;
  }
  session_destroy(session);
  if (stream) stream_refuse(stream, STATUS_REFUSED);
}

/* The connection to the service was made, or was not. */
void service_connected(struct session *session) {
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(session->service.fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) {
    session_refuse(session);
    return;
  }
  session->connecting = false;
  if (!session->stream) session->since = running_ms;
  session_progress(session, 0);
}

/* A connection on which nothing has been said may have waited to be accepted when the pod was frozen, and then
 * only this end of it was carried. A new one tells neither the service nor the client anything different. */
void silent_sessions_renew(void) {
  for (struct session *at = sessions, *next; at; at = next) {
    next = at->all_next;
    if (at->connecting || at->service.fd < 0 || at->up_delivered > 0 || at->down_total > 0 || at->down_end || at->up_shut)
      continue;
    handle_close(&at->service);
    if (service_connect(at, at->port) < 0) service_lost(at);
    session_progress(at, 0);
  }
}
