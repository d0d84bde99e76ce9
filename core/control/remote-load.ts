import { createInterface } from 'node:readline';
import { z } from 'zod';
import type { Load, LoadResult } from '../drills/drill-ports.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { MoveError } from '../runtime/errors.ts';

const lineSchema = z.union([
  z.object({ ready: z.literal(true) }),
  z.object({ firstPacketAt: z.number() }),
  z.object({
    summary: z.looseObject({ firstPacketAt: z.number(), lastPacketAt: z.number(), offeredMbit: z.number() }),
  }),
  z.object({
    error: z.object({
      code: z.string(),
      message: z.string(),
      details: z.record(z.string(), z.unknown()).optional(),
    }),
  }),
]);

const armLimitMs = 10_000;

/**
 * Starts the program of a bounded load (flood or surge) on a lab host over SSH, and has it wait for its beginning:
 * to start a program costs the processor much, and an attack begins all at once. The guard on that host has the
 * last word about its target; the program there ends by itself when this connection does.
 * @throws MoveError `LOAD_FAILED` when the program does not start within 10 s.
 */
export async function armRemoteLoad(
  fleet: Fleet,
  host: string,
  program: 'flood' | 'surge' | 'web-attack',
  options: Record<string, unknown>,
): Promise<Load> {
  const connection = await fleet.connection(host);
  const running = await connection.start(`/opt/move/bin/node /opt/move/dist/agent.mjs ${program}`);
  const ready = Promise.withResolvers<void>();
  const first = Promise.withResolvers<number>();
  const finished = Promise.withResolvers<LoadResult>();
  // Whoever waits for either is told; nobody has to wait for both.
  first.promise.catch(() => undefined);
  finished.promise.catch(() => undefined);
  let stopped = false;
  const fail = (error: MoveError) => {
    ready.reject(error);
    first.reject(error);
    finished.reject(error);
  };
  createInterface({ input: running.stdout }).on('line', (line) => {
    const parsed = lineSchema.safeParse(parseLine(line));
    if (!parsed.success) return;
    if ('ready' in parsed.data) ready.resolve();
    else if ('firstPacketAt' in parsed.data) first.resolve(parsed.data.firstPacketAt);
    else if ('summary' in parsed.data) finished.resolve(parsed.data.summary);
    else fail(MoveError.fromBody(parsed.data.error as { code: string; message: string }));
  });
  running.stderr.resume();
  void running.exited.then((status) =>
    fail(
      stopped
        ? new MoveError('CANCELLED', `The load from ${host} was stopped.`)
        : new MoveError('LOAD_FAILED', `The load from ${host} ended with status ${status ?? 'none'}.`, {
            host,
          }),
    ),
  );
  const stop = async () => {
    stopped = true;
    running.stdin.end();
    running.kill();
    await running.exited;
  };
  const timer = setTimeout(
    () => ready.reject(new MoveError('LOAD_FAILED', `The load on ${host} did not start in time.`, { host })),
    armLimitMs,
  );
  try {
    await ready.promise;
  } catch (thrown) {
    await stop();
    throw thrown;
  } finally {
    clearTimeout(timer);
  }
  return {
    begin: () => running.stdin.write(`${JSON.stringify(options)}\n`),
    firstPacketAt: first.promise,
    finished: finished.promise,
    stop,
  };
}

function parseLine(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
