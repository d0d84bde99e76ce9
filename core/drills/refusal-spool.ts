import { closeSync, constants, fstatSync, mkdirSync, openSync, renameSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { z } from 'zod';

/**
 * Where a host notes the loads that its guard has refused, one line of JSON each. The control plane reads
 * them when it comes by: whoever starts a program by hand does not tell it.
 */
export const REFUSAL_SPOOL_PATH = '/var/lib/move/refused-loads.jsonl';
/** The spool before the one that is written to now. */
export const olderSpool = (path: string) => `${path}.1`;

/** A spool that has become longer than this is put aside, and the one put aside before it forgotten. */
const MAXIMUM_BYTES = 65_536;

export const refusedLoadSchema = z.object({
  /** Milliseconds since the epoch, by the host's clock. */
  at: z.number().int(),
  purpose: z.string().max(40),
  /** What it was aimed at, as it was asked for. */
  target: z.string().max(64),
  message: z.string().max(500),
});
export type RefusedLoad = z.infer<typeof refusedLoadSchema>;

/**
 * Notes a refusal for the control plane, which may be away. Nothing depends on it but the journal, so that
 * it never throws: a load that was refused stays refused where its note cannot be written.
 */
export function noteRefusal(
  refusal: { at: number; purpose: string; target: unknown; message: string },
  path: string = REFUSAL_SPOOL_PATH,
): void {
  const line: RefusedLoad = {
    at: Math.round(refusal.at),
    purpose: refusal.purpose.slice(0, 40),
    target: printable(refusal.target),
    message: refusal.message.slice(0, 500),
  };
  let file: number | undefined;
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    file = openSpool(path);
    if (fstatSync(file).size >= MAXIMUM_BYTES) {
      closeSync(file);
      file = undefined;
      renameSync(path, olderSpool(path));
      file = openSpool(path);
    }
    // One write, so that the lines of programs that are refused at the same time do not mix.
    writeSync(file, `${JSON.stringify(line)}\n`);
  } catch {
    // See above: a note that cannot be written changes nothing.
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

function openSpool(path: string): number {
  const { O_WRONLY, O_APPEND, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = constants;
  return openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600);
}

/** What somebody gave as an address, as one short word that may stand in a journal. */
function printable(target: unknown): string {
  const word = typeof target === 'string' ? target : 'nothing that is an address';
  return word.replace(/[^\w .:/-]/g, '?').slice(0, 64) || 'nothing';
}
