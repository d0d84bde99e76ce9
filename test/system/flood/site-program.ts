import http from 'node:http';
import { AttackDetector } from '../../../core/sites/attack/attack-detector.ts';
import type { LinkSample } from '../../../core/sites/attack/link-sample.ts';
import { LinkSampler } from '../../../core/sites/attack/link-sampler.ts';

/** A site in small: a page, a big file, a place to upload to, and the detector on its primary link. */
const page = Buffer.alloc(10_000, 'page ');
const file = Buffer.alloc(300_000, 'file ');
const server = http.createServer((request, response) => {
  request.on('data', () => undefined);
  request.on('end', () => response.end(request.url === '/file' ? file : page));
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
process.stdin.resume();
process.stdin.on('end', () => {
  sampler.close();
  say({ samples: count, costMs: cost, peakInMbit, peakOutMbit });
  process.exit(0);
});
