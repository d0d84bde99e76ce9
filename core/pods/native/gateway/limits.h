/* Bounds and times of the gateway: every table and buffer has one. */
#ifndef MOVE_GATEWAY_LIMITS_H
#define MOVE_GATEWAY_LIMITS_H

enum {
  MAX_SESSIONS = 1024,
  MAX_STREAMS = 1280,
  MAX_FINISHED = 1024,
  READ_BYTES = 65536,
  TICK_MS = 1000,
  DETACHED_LIMIT_MS = 60000,
  HEADER_LIMIT_MS = 10000,
  CONNECT_LIMIT_MS = 10000,
  DRAIN_LIMIT_MS = 100,
  DEFER_LIMIT_MS = 5,
};

#endif
