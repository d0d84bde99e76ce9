import { z } from 'zod';
import { systemClock } from '../runtime/clock.ts';
import { toMoveError } from '../runtime/errors.ts';
import { Histogram } from './histogram.ts';
import { HttpProbe } from './http-probe.ts';
import { JsonLines } from './json-lines.ts';
import { readOptionsLine } from './options-line.ts';
import type { ProbeSample } from './probe-sample.ts';
import { summarizeProbes } from './probe-statistics.ts';
import { stopSignal } from './stop-signal.ts';

const port = z.number().int().min(1).max(65_535);

/** What the probe program takes as one line of JSON on its standard input. */
export const probeOptionsSchema = z.strictObject({
  url: z.string().max(2000),
  via: z.discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('proxy'), host: z.string().max(255), port }),
    z.strictObject({ kind: z.literal('direct'), address: z.ipv4(), port }),
  ]),
  periodMs: z.number().min(1).max(60_000).default(10),
  limitMs: z.number().min(1).max(60_000).default(5000),
  expectedSha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/i)
    .optional(),
  /** Longest time in seconds that the probe runs by itself; it ends earlier when told to. */
  seconds: z.number().positive().max(3600).default(600),
});

/** Samples kept for the summary; a longer run sums up its last part and says so. */
const KEPT_SAMPLES = 400_000;

/**
 * The probe as a program: options as one line of JSON on standard input, which then stays open; on standard
 * output one line `{"ready":true}`, one line `{"sample":…}` a request, every half second `{"waiting":…,"at":…}` (requests without an answer yet),
 * and at the end `{"summary":…}`. Ends
 * after `seconds`, on SIGTERM, or when standard input closes; outstanding requests are waited for.
 * Returns the exit code: 0 when it ran as told (whatever it measured), 2 for options that make no sense,
 * 1 for anything else (with one line `{"error":…}`).
 */
export async function probeMain(_argv: readonly string[] = []): Promise<number> {
  const lines = new JsonLines(process.stdout);
  try {
    const { options, released } = await readOptionsLine(process.stdin, probeOptionsSchema);
    const stop = stopSignal(released);
    const samples: ProbeSample[] = [];
    const lags = new Histogram();
    let total = 0;
    const probe = new HttpProbe(options, (sample) => {
      total += 1;
      if (samples.length < KEPT_SAMPLES) samples.push(sample);
      else samples[total % KEPT_SAMPLES] = sample;
      lines.write({ sample: rounded(sample) });
    });
    lines.write({ ready: true });
    const before = process.cpuUsage();
    probe.start();
    const progress = setInterval(
      () => lines.write({ waiting: probe.outstanding, at: systemClock.now() }),
      500,
    );
    await ended(stop.signal, options.seconds * 1000, lags);
    await probe.stop();
    clearInterval(progress);
    const used = process.cpuUsage(before);
    lines.write({
      summary: {
        ...summarizeProbes(samples, options.limitMs),
        requests: total,
        cpuMs: (used.user + used.system) / 1000,
        schedulingLagMs: lags.percentile(0.99),
        droppedLines: lines.dropped,
      },
    });
    stop.dispose();
    await lines.finish();
    return 0;
  } catch (thrown) {
    const error = toMoveError(thrown);
    lines.write({ error: error.toBody() });
    await lines.finish();
    return error.code === 'OPTIONS_INVALID' || error.code === 'PROBE_INVALID' ? 2 : 1;
  } finally {
    process.stdin.destroy();
  }
}

function rounded(sample: ProbeSample): ProbeSample {
  return {
    ...sample,
    startedAt: Math.round(sample.startedAt * 100) / 100,
    durationMs: Math.round(sample.durationMs * 100) / 100,
  };
}

/** Waits for the end, noting every 100 ms how late this process itself is woken. */
function ended(signal: AbortSignal, limitMs: number, lags: Histogram): Promise<void> {
  return new Promise((resolve) => {
    let due = performance.now() + 100;
    const watch = setInterval(() => {
      lags.record(Math.max(0, performance.now() - due));
      due = performance.now() + 100;
    }, 100);
    const finish = () => {
      clearInterval(watch);
      clearTimeout(timer);
      signal.removeEventListener('abort', finish);
      resolve();
    };
    const timer = setTimeout(finish, limitMs);
    signal.addEventListener('abort', finish, { once: true });
    if (signal.aborted) finish();
  });
}
