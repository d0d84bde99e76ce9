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
