import type { ErrorBody } from '../../contract/error-body.ts';

/** The longest message in bytes that any port carries: 8 MiB. */
export const maximumMessageBytes = 8 * 1024 * 1024;

/** Bytes that may wait for a peer that does not read before the port gives it up: 32 MiB. */
export const maximumUnsentBytes = 32 * 1024 * 1024;

export const protocolError = (problem: string): ErrorBody => ({
  code: 'PROTOCOL_ERROR',
  message: `The other side broke the message protocol: ${problem}. The connection was closed; check that both sides have the same version.`,
});

export const slowPeerError = (unsentBytes: number): ErrorBody => ({
  code: 'PEER_TOO_SLOW',
  message:
    'The other side read too slowly and the connection was closed so that memory stays bounded. Connect again.',
  details: { unsentBytes },
});

export const brokenError = (reason: string): ErrorBody => ({
  code: 'DISCONNECTED',
  message: `The connection broke: ${reason}. Connect again.`,
});

/** Reads one JSON message; a message is always an object. Returns what is wrong as a string. */
export function parseMessage(text: string): { message: object } | { problem: string } {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { problem: 'a message is not JSON' };
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return { problem: 'a message is not a JSON object' };
  return { message: value };
}
