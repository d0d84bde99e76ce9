/* Sessions of access points and the streams that carry them: what is known of each, and their tables. */
#ifndef MOVE_GATEWAY_SESSION_H
#define MOVE_GATEWAY_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "handle.h"
#include "ring.h"

enum stream_mode { STREAM_HEADER, STREAM_SESSION, STREAM_CONTROL };

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

extern struct session *sessions;
extern struct stream *streams;
extern int session_count, stream_count;
extern uint64_t sessions_opened;

struct session *session_find(const uint8_t *id);
struct session *session_new(const uint8_t *id);
void session_destroy(struct session *session);
struct stream *stream_new(int fd);
void stream_close(struct stream *stream);
void bury_the_dead(void);

#endif
