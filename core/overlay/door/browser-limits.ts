import { type DoorLimitOptions, defaultDoorLimits } from '../../runtime/door-limits.ts';

/** What browsers may ask of a door, whichever version of HTTP they speak. */
export interface BrowserLimits {
  /** Connections by address, judged before their handshake, which is what costs. */
  door: DoorLimitOptions;
  /** Bytes of a request's head. */
  headerBytes: number;
  /** Fields of a request's head. */
  headerFields: number;
  handshakeMs: number;
  /** Milliseconds for a request's head. */
  headersMs: number;
  /** Milliseconds for a whole request, its body included. */
  requestMs: number;
  /** Milliseconds that a connection is kept between requests. */
  keepAliveMs: number;
  /** Requests under way on one connection of HTTP/2. */
  streams: number;
  /** Requests of HTTP/2 that may be taken back, at once and in each second after that (CVE-2023-44487). */
  resets: { burst: number; perSecond: number };
  /** MiB that a connection of HTTP/2 may hold, tables and frames together. */
  sessionMebibytes: number;
  /** Connections to one service that the requests of one connection share. */
  onward: number;
}

export const browserLimits: BrowserLimits = {
  door: {
    ...defaultDoorLimits,
    // A browser opens some six connections; people behind one address share.
    each: { perSecond: 32, burst: 64, pending: 32, established: 64 },
    whole: { perSecond: 240, burst: 240, pending: 512, established: 2048 },
  },
  headerBytes: 16_384,
  headerFields: 100,
  handshakeMs: 5_000,
  headersMs: 10_000,
  requestMs: 300_000,
  keepAliveMs: 30_000,
  // What RFC 9113 §6.5.2 asks for at least.
  streams: 100,
  // A browser takes back what it has under way when somebody leaves a page.
  resets: { burst: 200, perSecond: 20 },
  sessionMebibytes: 2,
  onward: 16,
};
