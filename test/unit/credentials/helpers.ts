import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { generateKeyAndRequest } from '../../../core/credentials/key-request.ts';
import type { Clock } from '../../../core/runtime/clock.ts';

/** A clock that stands still until it is told to move. Starts at the machine's time, so that openssl agrees. */
export function handClock(start = Date.now()): Clock & { advance(milliseconds: number): void } {
  let now = start;
  return {
    now: () => now,
    monotonic: () => now,
    after: () => () => undefined,
    advance: (milliseconds) => {
      now += milliseconds;
    },
  };
}

export function temporaryDirectory(): { path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), 'move-test-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

export const PASSPHRASE = 'correct horse battery';

export async function keyFor(name: string) {
  const { privateKeyPem, requestPem } = await generateKeyAndRequest(name);
  return { privateKeyPem, key: { requestPem } };
}

/** A matcher for MoveError by its code. */
export const withCode = (code: string) => expect.objectContaining({ code });

export const DAY = 86_400_000;
