import type { Duplex } from 'node:stream';
import type { z } from 'zod';
import { MoveError } from '../runtime/errors.ts';
import type { LinkStream } from '../runtime/link/link-stream.ts';
import { joinStreams } from './join-streams.ts';
import { sessionHeaderSchema } from './stream-headers.ts';
import type { StreamRouter } from './stream-router.ts';

export interface SiteDoorOptions {
  /**
   * A fresh byte stream to the gateway of `service`, half-open capable, if this site hosts it at `epoch`.
   * Throws MoveError `SERVICE_NOT_HERE`, `EPOCH_STALE` or `SERVICE_MOVING`: access points then look again.
   */
  attach(service: string, epoch: number): Promise<Duplex>;
  maxSessions?: number;
}

export interface SiteDoor {
  /** Streams into gateways now, by service. */
  sessions(): Record<string, number>;
  /** Cuts the streams of a service, as before a freeze: its sessions park at once. */
  cut(service: string, error?: MoveError): number;
}

/** Lets overlay nodes, and nobody else, reach the gateways of the pods on this site. */
export function registerSiteDoor(router: StreamRouter, options: SiteDoorOptions): SiteDoor {
  const open = new Map<string, Set<LinkStream>>();
  let count = 0;
  router.registerStream<z.infer<typeof sessionHeaderSchema>>({
    kind: 'session',
    roles: ['overlay'],
    schema: sessionHeaderSchema,
    where: 'site-door',
    async handle({ header, stream, refuse }) {
      if (count >= (options.maxSessions ?? 8192)) {
        refuse(new MoveError('TOO_MANY_SESSIONS', 'This site carries as many sessions as it may.'));
        return;
      }
      count += 1;
      stream.once('close', () => {
        count -= 1;
      });
      const gateway = await options.attach(header.service, header.epoch);
      if (stream.destroyed) {
        gateway.destroy();
        return;
      }
      const streams = open.get(header.service) ?? new Set();
      open.set(header.service, streams);
      streams.add(stream);
      stream.once('close', () => {
        streams.delete(stream);
        if (streams.size === 0 && open.get(header.service) === streams) open.delete(header.service);
      });
      // The gateway's first answer accepts: by itself an acceptance would cost each hop of the path one more message.
      joinStreams(stream, gateway);
    },
  });
  return {
    sessions: () => Object.fromEntries([...open].map(([service, streams]) => [service, streams.size])),
    cut(service, error) {
      const streams = [...(open.get(service) ?? [])];
      const reason =
        error ?? new MoveError('SERVICE_MOVING', `${service} is being moved; its sessions wait.`);
      for (const stream of streams) stream.reset(reason);
      return streams.length;
    },
  };
}
