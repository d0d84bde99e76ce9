import { z } from 'zod';
import { JsonLines } from '../measure/json-lines.ts';
import { readOptionsLine } from '../measure/options-line.ts';
import { stopSignal } from '../measure/stop-signal.ts';
import { systemClock } from '../runtime/clock.ts';
import { toMoveError } from '../runtime/errors.ts';
import { sendFlood } from './flood-sender.ts';
import { readManifestFile } from './lab-manifest-file.ts';
import { sendPacketFlood } from './packet-flood-sender.ts';
import { noteRefusal } from './refusal-spool.ts';
import { sendSurge } from './surge-sender.ts';
import { sendWebAttack } from './web-attack-sender.ts';

const floodOptionsSchema = z.looseObject({
  purpose: z.enum(['udp-flood', 'node-flood', 'syn-flood', 'icmp-flood']).default('udp-flood'),
});
const webAttackOptionsSchema = z.object({
  request: z.looseObject({ purpose: z.enum(['http-flood', 'slow-http', 'expensive-requests']) }),
  shape: z.strictObject({ path: z.string().startsWith('/').max(2000), hostname: z.string().max(255) }),
});
const surgeOptionsSchema = z.object({
  request: z.looseObject({ purpose: z.literal('honest-surge').default('honest-surge') }),
  shape: z.strictObject({
    path: z.string().startsWith('/').max(2000),
    hostname: z.string().max(255),
    uploadBytes: z
      .number()
      .int()
      .min(0)
      .max(16 << 20),
  }),
});

/**
 * The flood as a program on a bot: prints `{"ready":true}` and waits up to two minutes for its options
 * ({purpose, address, port, seconds, and mbit or packetsPerSecond}) as one line of JSON on standard input, which has to stay open; prints
 * `{"firstPacketAt":…}`, then `{"summary":…}`, or `{"error":…}`. It stops
 * at once on SIGTERM, when standard input closes, or when its parent is gone. Exit code 0 when it ran or was
 * stopped, 2 for options that make no sense, 3 when the guard refused, 1 for anything else. A refusal on a host of
 * a lab is noted there, for the journal.
 */
export function floodMain(_argv: readonly string[] = []): Promise<number> {
  return runProgramOf(
    floodOptionsSchema,
    (options, signal, lines) => {
      const isUdp = options.purpose === 'udp-flood' || options.purpose === 'node-flood';
      return (isUdp ? sendFlood : sendPacketFlood)(options, signal, (firstPacketAt) =>
        lines.write({ firstPacketAt }),
      );
    },
    (options) => options,
  );
}

/** The honest surge as a program on a client; options {request: {address, port, seconds, connections}, shape}. */
export function surgeMain(_argv: readonly string[] = []): Promise<number> {
  return runProgramOf(
    surgeOptionsSchema,
    ({ request, shape }, signal, lines) =>
      sendSurge(request, shape, signal, (firstPacketAt) => lines.write({ firstPacketAt })),
    ({ request }) => request,
  );
}

/** An attack by requests as a program on a bot; options {request: {purpose, address, port, seconds, …}, shape}. */
export function webAttackMain(_argv: readonly string[] = []): Promise<number> {
  return runProgramOf(
    webAttackOptionsSchema,
    ({ request, shape }, signal, lines) =>
      sendWebAttack(request, shape, signal, (firstPacketAt) => lines.write({ firstPacketAt })),
    ({ request }) => request,
  );
}

/** A drill arms its senders before the quiet phase, which may last a minute. */
const armedLimitMs = 120_000;

async function runProgramOf<Schema extends z.ZodType>(
  schema: Schema,
  run: (options: z.infer<Schema>, signal: AbortSignal, lines: JsonLines) => Promise<object>,
  requestOf: (options: z.infer<Schema>) => { purpose: string; address?: unknown },
): Promise<number> {
  const lines = new JsonLines(process.stdout, 0);
  let stop: ReturnType<typeof stopSignal> | undefined;
  let request: { purpose: string; address?: unknown } | undefined;
  try {
    lines.write({ ready: true });
    const { options, released } = await readOptionsLine(process.stdin, schema, armedLimitMs);
    request = requestOf(options);
    stop = stopSignal(released);
    const before = process.cpuUsage();
    const summary = await run(options, stop.signal, lines);
    const used = process.cpuUsage(before);
    lines.write({ summary: { ...summary, cpuMs: (used.user + used.system) / 1000 } });
    await lines.finish();
    return 0;
  } catch (thrown) {
    const error = toMoveError(thrown);
    if (error.code === 'FLOOD_REFUSED' && request && 'text' in readManifestFile())
      noteRefusal({
        at: systemClock.now(),
        purpose: request.purpose,
        target: request.address,
        message: error.message,
      });
    lines.write({ error: error.toBody() });
    await lines.finish();
    return error.code === 'FLOOD_REFUSED' ? 3 : error.code === 'OPTIONS_INVALID' ? 2 : 1;
  } finally {
    stop?.dispose();
    process.stdin.destroy();
  }
}
