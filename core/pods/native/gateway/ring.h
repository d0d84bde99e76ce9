/* One bounded byte ring. Its 256 KiB exist only while it holds bytes, so idle sessions cost a
 * checkpoint nothing; a few emptied rings are kept for the next bytes. */
#ifndef MOVE_RING_H
#define MOVE_RING_H

#include <stdint.h>
#include <sys/uio.h>

enum { RING_BYTES = 262144, RING_SPARES = 4 };

struct ring {
  uint8_t *data;
  uint32_t head;
  uint32_t length;
};

int ring_reserve(struct ring *ring);
void ring_release(struct ring *ring);
void ring_drop_spares(void);
int ring_pieces(const struct ring *ring, uint32_t from, uint32_t count, struct iovec *pieces);
void ring_append(struct ring *ring, const uint8_t *bytes, uint32_t count);
void ring_consume(struct ring *ring, uint32_t count);
static inline uint32_t ring_room(const struct ring *ring) { return RING_BYTES - ring->length; }

#endif
