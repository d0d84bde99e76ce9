import { pbkdf2 } from 'node:crypto';
import http from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { AttackDetector } from '../../../core/sites/attack/attack-detector.ts';
import type { LinkSample } from '../../../core/sites/attack/link-sample.ts';
import { LinkSampler } from '../../../core/sites/attack/link-sampler.ts';
import { RequestClassifier } from '../../../core/sites/attack/request-classifier.ts';
import { FigureTaker } from '../../../core/sites/attack/request-figures.ts';
import { readPod } from '../../../core/sites/attack/request-sampler.ts';

/** A site in small: a page, a big file, a place to upload to, and the detector on its primary link. */
const page = Buffer.alloc(10_000, 'page ');
const note = Buffer.alloc(400, 'note ');
const file = Buffer.alloc(300_000, 'file ');
const server = http.createServer((request, response) => {
  request.on('data', () => undefined);
  request.on('end', () => {
    // What costs much and is small, so that it is the processor that it takes and not the link.
    if (request.url === '/search')
      pbkdf2('words', 'salt', 150_000, 64, 'sha512', (_, found) => response.end(found));
    else response.end(request.url === '/file' ? file : request.url === '/note' ? note : page);
  });
});
const say = (value: unknown) => process.stdout.write(`${JSON.stringify(value)}\n`);
const sampler = new LinkSampler({ device: 'primary' });
const detector = new AttackDetector({ capacityMbit: 20 });
let cost = 0;
let count = 0;
let peakInMbit = 0;
let peakOutMbit = 0;
let before: LinkSample | undefined;
server.listen(80, () => {
  sampler.start(
    (sample) => {
      for (const event of detector.observe(sample)) say(event);
      count += 1;
      if (count % 40 !== 0) return;
      if (before !== undefined) {
        const ms = sample.monotonic - before.monotonic;
        peakInMbit = Math.max(peakInMbit, ((sample.receivedBytes - before.receivedBytes) * 8) / 1000 / ms);
        peakOutMbit = Math.max(peakOutMbit, ((sample.sentBytes - before.sentBytes) * 8) / 1000 / ms);
      }
      before = sample;
      const begun = performance.now();
      for (let index = 0; index < 10; index += 1) sampler.sample();
      cost = (performance.now() - begun) / 10;
    },
    (error) => say({ fault: error.toBody() }),
  );
  say({ ready: true });
});
const stop = new AbortController();
const classifier = new RequestClassifier();
const taker = new FigureTaker();
let readings = 0;
async function watchRequests(): Promise<void> {
  const pod = {
    processId: process.pid,
    processIds: [process.pid],
    ports: [80],
    gatewayAddress: '100.64.0.3',
  };
  while (!stop.signal.aborted) {
    const reading = await readPod(pod, stop.signal).catch(
      (error: unknown) => void (stop.signal.aborted || say({ fault: String(error) })),
    );
    const figures = reading && taker.take(reading, classifier.quiet);
    for (const event of figures ? classifier.observe(figures) : []) say({ ...event, requests: true });
    readings += 1;
    if (readings === 10) say({ watched: true });
    if (readings === 60) say({ learnt: true });
    await pause(400, undefined, { signal: stop.signal }).catch(() => undefined);
  }
}
void watchRequests();
process.stdin.resume();
process.stdin.on('end', () => {
  sampler.close();
  stop.abort();
  say({ samples: count, costMs: cost, peakInMbit, peakOutMbit });
  process.exit(0);
});
