import { spawnSync } from 'node:child_process';
import { openCriuHarness, podObstacle } from '../system/pods/criu-harness.ts';
import { type Carried, carryByRunc } from './runtime/runc-pod.ts';

const rounds = 7;

/**
 * Checkpoints and restores the same Apache pod on this machine by this product's runtime (criu directly) and by stock
 * runc with the same criu, one after the other in each round. Both keep the source frozen, carry the writable layer
 * by tar, and are timed from the freeze to the first right answer; no network between. Medians over 7 rounds.
 */
export async function run(): Promise<{ passed: boolean } & Record<string, unknown>> {
  const obstacle =
    podObstacle() ?? (spawnSync('runc', ['--version']).status === 0 ? undefined : 'runc is missing');
  if (obstacle) return { passed: false, obstacle };
  const harness = await openCriuHarness();
  const direct: Carried[] = [];
  const runc: Carried[] = [];
  try {
    harness.putDocument('index.html', Buffer.from('hello from the pod\n'));
    // The first round of each pages the programs in and is not counted.
    for (let round = 0; round <= rounds; round++) {
      const byUs = await carryDirectly(harness);
      const byRunc = await carryByRunc(harness.config, harness.spec, harness.sites[0].storage.docroot ?? '');
      if (round === 0) continue;
      direct.push(byUs);
      runc.push(byRunc);
    }
  } finally {
    await harness.close();
  }
  const figures = { directCriu: summary(direct), stockRunc: summary(runc) };
  return { passed: figures.directCriu.totalMs.median < figures.stockRunc.totalMs.median, rounds, ...figures };
}

type Harness = Awaited<ReturnType<typeof openCriuHarness>>;

async function carryDirectly(harness: Harness): Promise<Carried> {
  const { spec, imageDir } = harness;
  const [from, to] = harness.sites;
  try {
    await from.runtime.create(spec, { storage: from.storage });
    await from.runtime.warm();
    await to.runtime.prepareTarget(spec);
    const began = performance.now();
    await from.runtime.quiesceAndFreeze(spec.id);
    const frozen = performance.now();
    const dump = await from.runtime.dump(spec.id, imageDir);
    const dumped = performance.now();
    await to.runtime.restore(spec.id, imageDir, { storage: to.storage, deadlineMs: 10_000 });
    const restored = performance.now();
    await to.runtime.probe(spec.id);
    const end = performance.now();
    return {
      freezeMs: frozen - began,
      dumpMs: dumped - frozen,
      copyMs: 0, // the layer is packed in the dump and unpacked in the restore
      restoreMs: restored - dumped,
      answerMs: end - restored,
      totalMs: end - began,
      bytes: dump.totalBytes,
    };
  } finally {
    await from.runtime.discard(spec.id);
    await to.runtime.discard(spec.id);
  }
}

function summary(
  runs: readonly Carried[],
): Record<keyof Carried, { median: number; least: number; most: number }> {
  const keys = ['freezeMs', 'dumpMs', 'copyMs', 'restoreMs', 'answerMs', 'totalMs', 'bytes'] as const;
  const entries = keys.map((key) => {
    const values = runs.map((each) => Math.round(each[key] * 10) / 10).sort((a, b) => a - b);
    return [
      key,
      { median: values[values.length >> 1] ?? 0, least: values[0] ?? 0, most: values.at(-1) ?? 0 },
    ];
  });
  return Object.fromEntries(entries) as ReturnType<typeof summary>;
}
