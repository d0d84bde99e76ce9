import type { z } from 'zod';
import { joinStreams } from './join-streams.ts';
import type { LinkPool } from './link-pool.ts';
import { servletHeaderSchema } from './stream-headers.ts';
import type { StreamRouter } from './stream-router.ts';

/**
 * Takes up the role of servlet: carries streams of access points to hosting sites over kept links. It passes
 * on the session protocol and never sees whose session it is (MOVE §3.2).
 */
export function registerServlet(
  router: StreamRouter,
  parts: { pool: LinkPool },
): { readonly carried: number } {
  let carried = 0;
  router.registerStream<z.infer<typeof servletHeaderSchema>>({
    kind: 'servlet',
    roles: ['overlay'],
    schema: servletHeaderSchema,
    where: 'servlet',
    async handle({ header, stream, accept, refuse }) {
      const target = { address: header.address, role: 'site', name: header.site };
      const link = parts.pool.peek(target) ?? (await parts.pool.link(target));
      if (stream.destroyed) return;
      const onward = link.openStreamNow({
        kind: 'session',
        service: header.service,
        epoch: header.epoch,
        port: header.port,
      });
      carried += 1;
      onward.once('close', () => {
        carried -= 1;
      });
      onward.accepted.then(accept, refuse);
      joinStreams(stream, onward);
    },
  });
  return {
    get carried() {
      return carried;
    },
  };
}
