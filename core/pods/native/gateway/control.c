#include "control.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "accept-queues.h"
#include "attach.h"
#include "limits.h"
#include "listener.h"
#include "running-time.h"
#include "service.h"

static void control_answer(struct stream *stream, const char *text, size_t length) {
  ssize_t written = send(stream->handle.fd, text, length, MSG_NOSIGNAL);
  if (written != (ssize_t)length) stream_close(stream);
}

/* Leaves no unix connection open, so that a checkpoint finds none. A session that was still
 * connecting is forgotten: its client has no answer yet and will open it again. */
static void gateway_pause(struct stream *asking) {
  paused = true;
  listener_turn_away();
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

void control_bytes(struct stream *stream, const uint8_t *bytes, size_t count) {
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
