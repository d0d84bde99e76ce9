import { writeFileSync } from 'node:fs';
import path from 'node:path';
import type { World } from '../system/world.ts';

/** A Redis with nothing in it and nothing on disk: what it knows stands in its memory alone. */
export const countService = 'count.example';

const file = `
hostname: ${countService}
homeSite: a1
image: servers
command: [redis-server, --port, "6379", --save, "", --bind, "0.0.0.0", --protected-mode, "no", --io-threads, "1"]
port: 6379
direct: false
probe:
  tcp: {}
`;

/** @throws Error with what the product said when it does not start. */
export async function addCountService(world: World): Promise<void> {
  const place = path.join(world.home, 'count.yaml');
  writeFileSync(place, file);
  const added = await world.cli(['service', 'add', place], 300_000);
  if (added.code !== 0) throw new Error(added.stderr);
}
