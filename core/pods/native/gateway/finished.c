#include "finished.h"

#include <string.h>

#include "limits.h"
#include "running-time.h"

static struct finished finished[MAX_FINISHED];
static uint32_t finished_next;

/* A finished session is remembered for a while: a client whose last FINACK got lost on the way may
 * resume and hear it again instead of "unknown". */
void finished_remember(const struct session *session) {
  struct finished *entry = &finished[finished_next];
  finished_next = (finished_next + 1) % MAX_FINISHED;
  memcpy(entry->id, session->id, sizeof entry->id);
  entry->received = session->up_received;
  entry->since = running_ms;
  entry->used = true;
}

struct finished *finished_find(const uint8_t *id) {
  for (int i = 0; i < MAX_FINISHED; i++)
    if (finished[i].used && memcmp(finished[i].id, id, sizeof finished[i].id) == 0) {
      if (running_ms - finished[i].since <= DETACHED_LIMIT_MS) return &finished[i];
      finished[i].used = false;
    }
  return NULL;
}
