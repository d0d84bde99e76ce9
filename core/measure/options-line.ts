import type { Readable } from 'node:stream';
import type { z } from 'zod';
import { MoveError } from '../runtime/errors.ts';

const MAXIMUM_LINE = 65_536;
const LINE_LIMIT_MS = 10_000;

/** The options of a program on a host, and the moment when whoever started it lets go. */
export interface OptionsLine<Options> {
  options: Options;
  /** Fires when standard input closes: the one who asked is gone, and so is the reason to go on. */
  released: AbortSignal;
}

/**
 * Reads one line of JSON from standard input (so that nothing secret stands in the argument list) and
 * then watches it: it has to stay open for as long as the program shall run.
 * @throws MoveError `OPTIONS_INVALID` when no valid line of at most 64 KiB comes within `limitMs` milliseconds, 10,000 by default.
 */
export function readOptionsLine<Schema extends z.ZodType>(
  input: Readable,
  schema: Schema,
  limitMs = LINE_LIMIT_MS,
): Promise<OptionsLine<z.infer<Schema>>> {
  const released = new AbortController();
  return new Promise((resolve, reject) => {
    let held = Buffer.alloc(0);
    let settled = false;
    const fail = (message: string, details: Record<string, unknown> = {}) => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      input.destroy();
      reject(new MoveError('OPTIONS_INVALID', message, details));
    };
    const timer = setTimeout(
      () => fail(`No options came on standard input within ${limitMs / 1000} s. Send one line of JSON.`),
      limitMs,
    );
    const closed = () => {
      fail('Standard input was closed before a line of JSON came. Send one, and keep it open.');
      released.abort();
    };
    input.on('end', closed);
    input.on('close', closed);
    input.on('error', closed);
    input.on('data', (chunk: Buffer) => {
      if (settled) return; // after the options only the end of the input has a meaning
      held = Buffer.concat([held, chunk]);
      const end = held.indexOf(10);
      if (end === -1) {
        if (held.length > MAXIMUM_LINE) fail('The line of options is longer than 64 KiB.');
        return;
      }
      let body: unknown;
      try {
        body = JSON.parse(held.toString('utf8', 0, end));
      } catch (thrown) {
        fail('The line of options is no JSON.', { reason: String(thrown) });
        return;
      }
      const parsed = schema.safeParse(body);
      if (!parsed.success) {
        fail('The options are not valid; see the details.', {
          issues: parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`),
        });
        return;
      }
      settled = true;
      clearTimeout(timer);
      resolve({ options: parsed.data, released: released.signal });
    });
  });
}
