import type { Way } from './way.ts';

/** What a forwarder tells whoever started it. */
export type ForwarderEvent =
  | { type: 'connecting'; address: string }
  | { type: 'connected'; address: string; accessPoint: string }
  | { type: 'lost'; address: string; code: string; message: string }
  | { type: 'silent'; address: string; accessPoint: string }
  | { type: 'standby'; address: string; accessPoint: string }
  | { type: 'way'; service: string; way: Way; why: string }
  | { type: 'nodes'; version: number; count: number }
  | { type: 'list-refused'; code: string; message: string }
  | { type: 'renewed'; notAfter: number }
  | { type: 'not-renewed'; code: string; message: string }
  | { type: 'refused'; service: string; code: string; message: string };

export type ForwarderEvents = (event: ForwarderEvent) => void;
