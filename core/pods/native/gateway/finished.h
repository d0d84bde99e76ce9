/* Sessions that ended lately. */
#ifndef MOVE_GATEWAY_FINISHED_H
#define MOVE_GATEWAY_FINISHED_H

#include "session.h"

struct finished {
  uint8_t id[16];
  uint64_t received, since;
  bool used;
};

void finished_remember(const struct session *session);
struct finished *finished_find(const uint8_t *id);

#endif
