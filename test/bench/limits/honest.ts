import { Agent, request } from 'node:http';
import { readIdentity } from '../../../core/credentials/identity.ts';
import type { LinkIdentity } from '../../../core/runtime/link/link-tls.ts';
import { connectLink } from '../../../core/runtime/link/link-tls.ts';

/** What honest clients noticed, in milliseconds. */
export interface Noticed {
  keepAliveP50Ms: number;
  keepAliveP99Ms: number;
  newConnectionP50Ms: number;
  newConnectionP99Ms: number;
  /** A whole new link from an address that was never seen: TCP, mutual TLS, greeting. */
  newLinkP50Ms: number;
  newLinkP99Ms: number;
  requests: number;
  failures: number;
  /** What the first of them said. */
  reasons: string[];
}

export interface HonestOptions {
  /** The forwarder's port, whose link to the access point stays. */
  port: number;
  accessPointPort: number;
  identity: LinkIdentity;
  durationMs: number;
}

const every = { keepAliveMs: 10, newConnectionMs: 40, newLinkMs: 80 };
let newcomers = 0;

/**
 * Asks for a page over a kept connection, over new ones, and makes links from new addresses, each at its own steady
 * pace whatever the answers take: who is slow is not asked less.
 */
export async function askHonestly(options: HonestOptions): Promise<Noticed> {
  const { port, accessPointPort, identity } = options;
  const kept = new Agent({ keepAlive: true, maxSockets: 4 });
  const keepAlive: number[] = [];
  const fresh: number[] = [];
  const links: number[] = [];
  let failures = 0;
  const reasons: string[] = [];
  const underWay = new Set<Promise<void>>();
  const timed = (into: number[], act: () => Promise<void>) => {
    const begun = performance.now();
    const done: Promise<void> = act()
      .then(
        () => void into.push(performance.now() - begun),
        (thrown: Error) => {
          failures += 1;
          if (reasons.length < 5) reasons.push(thrown.message);
        },
      )
      .finally(() => underWay.delete(done));
    underWay.add(done);
  };
  const newLink = async () => {
    newcomers += 1;
    const link = await connectLink({
      transport: {
        host: '127.0.0.1',
        port: accessPointPort,
        localAddress: `127.200.${newcomers >> 8}.${newcomers & 255}`,
      },
      identity,
      verifyPeer: (certificate) => void readIdentity(certificate),
      deadlineMs: 5000,
    });
    link.close();
  };
  const timers = [
    setInterval(() => timed(keepAlive, () => page(port, kept)), every.keepAliveMs),
    setInterval(() => timed(fresh, () => page(port, false)), every.newConnectionMs),
    setInterval(() => timed(links, newLink), every.newLinkMs),
  ];
  await new Promise((resolve) => setTimeout(resolve, options.durationMs));
  for (const timer of timers) clearInterval(timer);
  await Promise.all(underWay);
  kept.destroy();
  return {
    keepAliveP50Ms: percentile(keepAlive, 50),
    keepAliveP99Ms: percentile(keepAlive, 99),
    newConnectionP50Ms: percentile(fresh, 50),
    newConnectionP99Ms: percentile(fresh, 99),
    newLinkP50Ms: percentile(links, 50),
    newLinkP99Ms: percentile(links, 99),
    requests: keepAlive.length + fresh.length + links.length,
    failures,
    reasons,
  };
}

/** One request, asked once more if the service had closed the kept connection meanwhile, as every client does. */
function page(port: number, agent: Agent | false, again = false): Promise<void> {
  return new Promise((resolve, reject) => {
    const asked = request({ host: '127.0.0.1', port, path: '/page', agent, timeout: 5000 }, (answer) => {
      let bytes = 0;
      answer.on('data', (part: Buffer) => {
        bytes += part.length;
      });
      answer.on('error', reject);
      answer.on('end', () =>
        answer.statusCode === 200 && bytes === 10_240 ? resolve() : reject(new Error('not the page')),
      );
    });
    asked.on('timeout', () => asked.destroy(new Error('no answer within 5 s')));
    asked.on('error', (error) => {
      if (asked.reusedSocket && !again) page(port, false, true).then(resolve, reject);
      else reject(error);
    });
    asked.end();
  });
}

function percentile(sample: number[], percent: number): number {
  const sorted = [...sample].sort((left, right) => left - right);
  const value = sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * percent) / 100))];
  return Number((value ?? Number.NaN).toFixed(2));
}
