import type { ClientMessage, ServerMessage } from '../core/contract/channel.ts';
import type { ErrorBody } from '../core/contract/error-body.ts';

/**
 * What crosses Electron's one IPC channel. A page numbers the links that it opens, so that nothing of an
 * earlier link reaches a later one.
 */
export type FromWindow =
  | { kind: 'open'; link: number }
  | { kind: 'message'; link: number; message: ClientMessage }
  | { kind: 'close'; link: number };
export type ToWindow =
  | { kind: 'message'; link: number; message: ServerMessage }
  | { kind: 'closed'; link: number; error: ErrorBody | null };

/** Reads an envelope from a window, or null when it is none. Message bodies are checked by core. */
export function readFromWindow(value: unknown): FromWindow | null {
  if (typeof value !== 'object' || value === null) return null;
  const { kind, link, message } = value as Partial<Record<'kind' | 'link' | 'message', unknown>>;
  if (typeof link !== 'number' || !Number.isSafeInteger(link)) return null;
  if (kind === 'open' || kind === 'close') return { kind, link };
  if (kind === 'message' && typeof message === 'object' && message !== null)
    return { kind, link, message: message as ClientMessage };
  return null;
}
