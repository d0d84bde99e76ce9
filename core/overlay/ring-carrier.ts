import type { z } from 'zod';
import type { Clock } from '../runtime/clock.ts';
import { MoveError } from '../runtime/errors.ts';
import { joinStreams } from './join-streams.ts';
import type { LocationRecord } from './location-record.ts';
import type { Locator } from './locator.ts';
import type { Onward, PathOpener } from './path-opener.ts';
import type { NextNode, RouteStep } from './ring-route.ts';
import { ringHeaderSchema } from './stream-headers.ts';
import type { StreamRouter } from './stream-router.ts';

/** How long a directory node waits for a record as new as the one that the access point knows. */
const recordWaitMs = 1000;
const remembered = 256;

export interface RingCarrierOptions {
  paths: PathOpener;
  locator: Locator;
  route: (service: string) => RouteStep;
  clock: Clock;
}

export interface RingCarrier {
  /** Where the newest stream of a service was passed on to from here. */
  onward(): Record<string, NextNode>;
}

/**
 * Takes up the role of a hop on the ring's lookup route (MOVE §3.1; SOS's overlay routing): passes streams on
 * to the next node towards the service's directory node; as that node, looks the service up and passes them to
 * a servlet that it draws. A node on the way knows its neighbours, and neither who asks nor where the site is.
 */
export function registerRingCarrier(router: StreamRouter, options: RingCarrierOptions): RingCarrier {
  const { paths, locator, route, clock } = options;
  const onward = new Map<string, NextNode>();
  const remember = (service: string, next: NextNode) => {
    onward.delete(service);
    onward.set(service, next);
    const oldest = onward.keys().next();
    if (onward.size > remembered && !oldest.done) onward.delete(oldest.value);
  };

  router.registerStream<z.infer<typeof ringHeaderSchema>>({
    kind: 'ring',
    roles: ['overlay'],
    schema: ringHeaderSchema,
    where: 'ring-hop',
    async handle({ header, identity, stream, accept, refuse }) {
      const { service, port, epoch, hops } = header;
      const step: RouteStep = header.last ? { owner: true } : route(service);
      let passed: Onward;
      if (step.owner) {
        const record = await recordOf(locator, clock, service, epoch);
        passed = await paths.throughServlet(record, port, { nearest: 1, except: identity.name });
      } else passed = await paths.passOn(step, { service, port, epoch, hops });
      if (stream.destroyed) {
        passed.stream.destroy();
        return;
      }
      remember(service, passed.next);
      passed.stream.accepted.then(accept, refuse);
      joinStreams(stream, passed.stream);
    },
  });
  return { onward: () => Object.fromEntries(onward) };
}

/** The record of a service, at least as new as the epoch that the access point knows. */
async function recordOf(
  locator: Locator,
  clock: Clock,
  service: string,
  epoch: number,
): Promise<LocationRecord> {
  const record = await locator.locate(service);
  if (record.epoch >= epoch) return record;
  return await new Promise((resolve, reject) => {
    const stop = locator.watch(service, (newer) => {
      if (newer.epoch < epoch) return;
      finish();
      resolve(newer);
    });
    const cancel = clock.after(recordWaitMs, () => {
      finish();
      reject(
        new MoveError('EPOCH_STALE', `This directory node knows an older location of ${service} only.`, {
          service,
        }),
      );
    });
    const finish = () => {
      stop();
      cancel();
    };
  });
}
