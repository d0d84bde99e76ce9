#include "session.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "limits.h"
#include "running-time.h"
#include "wire.h"

enum { HASH_SIZE = 1024 };

struct session *sessions;
struct stream *streams;
int session_count, stream_count;
uint64_t sessions_opened;

static struct session *buckets[HASH_SIZE];
static struct session *dead_sessions;
static struct stream *dead_streams;

static uint32_t bucket_of(const uint8_t *id) { return get_u32(id) % HASH_SIZE; }

struct session *session_find(const uint8_t *id) {
  for (struct session *at = buckets[bucket_of(id)]; at; at = at->next)
    if (memcmp(at->id, id, sizeof at->id) == 0) return at;
  return NULL;
}

struct session *session_new(const uint8_t *id) {
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

/* A stream on a connection that was accepted, or NULL where there are as many as there may be. */
struct stream *stream_new(int fd) {
  struct stream *stream = stream_count < MAX_STREAMS ? calloc(1, sizeof *stream) : NULL;
  if (!stream) return NULL;
  stream->handle = (struct handle){HANDLE_STREAM, fd, 0};
  stream->since = running_ms;
  stream->all_next = streams;
  if (streams) streams->all_previous = stream;
  streams = stream;
  stream_count++;
  handle_interest(&stream->handle, EPOLLIN);
  return stream;
}

/* Takes a stream out of service; its memory goes once the events at hand are worked through. */
void stream_close(struct stream *stream) {
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

void session_destroy(struct session *session) {
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

void bury_the_dead(void) {
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
