import { MoveError } from '../../../core/runtime/errors.ts';
import type { World } from '../../system/world.ts';
import { apache, home } from './paper-network.ts';

const megabytes = 32;
const readLimitMs = 120_000;

export interface LifelineFigures {
  roundTripMs: number;
  megabytesPerSecond: number;
}

/**
 * Round trip and throughput of the lifeline of the service, which is at `site` (MOVE, figures 6 and 7): what the agents
 * measure on it, and the time in which a file that nobody has read yet comes from home through the mount.
 */
export async function measureLifeline(world: World, site: string, name: string): Promise<LifelineFigures> {
  const storage = world.manifest.services.find(({ hostname }) => hostname === apache)!.storage;
  const written = await world.hosts.run(
    home,
    `head -c ${megabytes}M /dev/urandom > ${storage}/${name} && chmod a+r ${storage}/${name}`,
  );
  try {
    const read = await world.hosts.run(
      site,
      `began=$(date +%s%3N); bytes=$(cat /var/lib/move/storage/${apache}/${name} | wc -c); echo "$bytes $(($(date +%s%3N) - began))"`,
      { limitMs: readLimitMs },
    );
    const [bytes, ms] = read.stdout.trim().split(' ').map(Number);
    if (written.code !== 0 || bytes !== megabytes << 20 || !ms)
      throw new MoveError(
        'LIFELINE_UNREAD',
        `The file was not read at ${site}: ${read.stdout} ${read.stderr}`,
      );
    const roundTripMs = await world.until(
      'the round trip of the lifeline is known',
      ({ lifelines }) => lifelines[apache]?.toSite === site && lifelines[apache]?.roundTripMs,
      20_000,
    );
    return {
      roundTripMs: Number(roundTripMs),
      megabytesPerSecond: Math.round((bytes / 1000 / ms) * 10) / 10,
    };
  } finally {
    await world.hosts.run(home, `rm -f ${storage}/${name}`);
  }
}
