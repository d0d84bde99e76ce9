#include "ring.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static uint8_t *ring_spares[RING_SPARES];
static int ring_spare_count;

int ring_reserve(struct ring *ring) {
  if (ring->data) return 0;
  if (ring_spare_count > 0) {
    ring->data = ring_spares[--ring_spare_count];
  } else {
    void *memory = mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return -1;
    ring->data = memory;
  }
  ring->head = ring->length = 0;
  return 0;
}

void ring_release(struct ring *ring) {
  if (ring->data) {
    if (ring_spare_count < RING_SPARES) ring_spares[ring_spare_count++] = ring->data;
    else munmap(ring->data, RING_BYTES);
  }
  ring->data = NULL;
  ring->head = ring->length = 0;
}

/* Gives the kept rings back; called before a checkpoint so that their pages need not travel. */
void ring_drop_spares(void) {
  while (ring_spare_count > 0) munmap(ring_spares[--ring_spare_count], RING_BYTES);
}

/* Describes `count` bytes of the ring's circle from `from` on as at most two pieces. */
int ring_pieces(const struct ring *ring, uint32_t from, uint32_t count, struct iovec *pieces) {
  uint32_t start = (ring->head + from) % RING_BYTES;
  uint32_t first = count < RING_BYTES - start ? count : RING_BYTES - start;
  int used = 0;
  if (first > 0) pieces[used++] = (struct iovec){ring->data + start, first};
  if (count > first) pieces[used++] = (struct iovec){ring->data, count - first};
  return used;
}

/* Appends bytes that the caller knows to fit. */
void ring_append(struct ring *ring, const uint8_t *bytes, uint32_t count) {
  struct iovec pieces[2];
  int used = ring_pieces(ring, ring->length, count, pieces);
  for (int i = 0; i < used; i++) {
    memcpy(pieces[i].iov_base, bytes, pieces[i].iov_len);
    bytes += pieces[i].iov_len;
  }
  ring->length += count;
}

void ring_consume(struct ring *ring, uint32_t count) {
  ring->head = (ring->head + count) % RING_BYTES;
  ring->length -= count;
  if (ring->length == 0) ring_release(ring);
}
