import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { runChecked } from '../runtime/process.ts';
import type { LabCounters } from './control-protocol.ts';
import type { LabPlan } from './plan.ts';

const linkListSchema = z.array(
  z.object({
    ifname: z.string(),
    stats64: z.object({
      rx: z.object({ bytes: z.number(), packets: z.number() }),
      tx: z.object({ bytes: z.number(), packets: z.number() }),
    }),
  }),
);
const queueListSchema = z.array(
  z.object({ dev: z.string(), kind: z.string(), root: z.boolean().optional(), drops: z.number().optional() }),
);
const ruleListSchema = z.object({
  nftables: z.array(z.object({ counter: z.object({ name: z.string(), packets: z.number() }).optional() })),
});

/** Reads the routers' ends of all links, and what the routers' rules dropped. For the lab's own process. */
export async function readRouterCounters(plan: LabPlan): Promise<LabCounters> {
  const counters: LabCounters = { links: {}, rules: {} };
  const limit = { timeoutMs: 5_000 };
  const routers = [...new Set(plan.hosts.flatMap(({ ports }) => ports.map(({ router }) => router)))];
  await Promise.all(
    routers.map(async (router) => {
      const [links, queues, rules] = await Promise.all([
        runChecked('ip', ['-n', router, '-s', '-j', 'link'], limit),
        runChecked('tc', ['-n', router, '-s', '-j', 'qdisc', 'show'], limit),
        runChecked('nsenter', [`--net=/run/netns/${router}`, 'nft', '-j', 'list', 'counters'], limit),
      ]);
      const drops = new Map<string, number>();
      for (const queue of queueListSchema.parse(JSON.parse(queues.stdout))) {
        if (queue.root) drops.set(queue.dev, queue.drops ?? 0);
      }
      const found = new Map(
        linkListSchema.parse(JSON.parse(links.stdout)).map((link) => [link.ifname, link.stats64]),
      );
      for (const host of plan.hosts) {
        for (const port of host.ports.filter((each) => each.router === router)) {
          const stats = found.get(port.routerInterface);
          if (!stats) continue;
          counters.links[host.name] ??= {};
          counters.links[host.name]![port.link] = {
            toHostBytes: stats.tx.bytes,
            toHostPackets: stats.tx.packets,
            toHostDroppedPackets: drops.get(port.routerInterface) ?? 0,
            fromHostBytes: stats.rx.bytes,
            fromHostPackets: stats.rx.packets,
          };
        }
      }
      counters.rules[router] = Object.fromEntries(
        ruleListSchema
          .parse(JSON.parse(rules.stdout))
          .nftables.flatMap(({ counter }) => (counter ? [[counter.name, counter.packets]] : [])),
      );
    }),
  );
  return counters;
}

/** The counters of one interface as the host itself sees them. */
export interface InterfaceCounters {
  receivedBytes: number;
  receivedPackets: number;
  receiveDroppedPackets: number;
  sentBytes: number;
  sentPackets: number;
}

/**
 * Reads all interfaces of the calling process's network namespace from the kernel's one table, which costs
 * 0.1 ms. For programs on a host.
 */
export async function readHostCounters(): Promise<Record<string, InterfaceCounters>> {
  return parseHostCounters(await readFile('/proc/self/net/dev', 'utf8'));
}

/** Understands the text of /proc/net/dev. */
export function parseHostCounters(text: string): Record<string, InterfaceCounters> {
  return Object.fromEntries(
    text.split('\n').flatMap((line) => {
      const match = /^\s*([^:\s]+):\s*(.*)$/.exec(line);
      if (!match) return [];
      const numbers = match[2]!.trim().split(/\s+/).map(Number);
      const at = (index: number) => numbers[index] ?? 0;
      const counters = {
        receivedBytes: at(0),
        receivedPackets: at(1),
        receiveDroppedPackets: at(3),
        sentBytes: at(8),
        sentPackets: at(9),
      };
      return [[match[1]!, counters] as const];
    }),
  );
}
