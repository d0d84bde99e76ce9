/* The session protocol between access point and gateway, as it stands on the wire (big-endian). */
#ifndef MOVE_GATEWAY_WIRE_H
#define MOVE_GATEWAY_WIRE_H

#include <stdint.h>

enum {
  HEADER_BYTES = 31,
  REPLY_BYTES = 13,
  FRAME_BYTES = 5,
  DATA_FRAME_BYTES = 65536,
  ACK_EVERY_BYTES = 65536,
};
enum { KIND_OPEN = 1, KIND_RESUME = 2, KIND_CONTROL = 9 };
enum { STATUS_OK = 0, STATUS_UNKNOWN = 1, STATUS_REFUSED = 2, STATUS_PAUSED = 3, STATUS_TOO_MANY = 4 };
enum { FRAME_DATA = 1, FRAME_ACK = 2, FRAME_FIN = 3, FRAME_RESET = 4, FRAME_FINACK = 5 };
enum { RESET_SERVICE = 1, RESET_PROTOCOL = 4 };

static inline void put_u32(uint8_t *at, uint32_t value) {
  for (int i = 0; i < 4; i++) at[i] = (uint8_t)(value >> (24 - 8 * i));
}
static inline void put_u64(uint8_t *at, uint64_t value) {
  for (int i = 0; i < 8; i++) at[i] = (uint8_t)(value >> (56 - 8 * i));
}
static inline uint32_t get_u32(const uint8_t *at) {
  return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}
static inline uint64_t get_u64(const uint8_t *at) { return (uint64_t)get_u32(at) << 32 | get_u32(at + 4); }

#endif
