/** What a forwarder tells whoever started it. */
export type ForwarderEvent =
  | { type: 'connecting'; address: string }
  | { type: 'connected'; address: string; accessPoint: string }
  | { type: 'lost'; address: string; code: string; message: string }
  | { type: 'refused'; service: string; code: string; message: string };

export type ForwarderEvents = (event: ForwarderEvent) => void;
