import { X509Certificate } from 'node:crypto';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import { authorise } from '../credentials/authorise.ts';
import { readIdentity } from '../credentials/identity.ts';
import { HttpProbe, type ProbeRoute } from '../measure/http-probe.ts';
import { JsonLines } from '../measure/json-lines.ts';
import { type Forwarder, startForwarder } from '../overlay/forwarder/forwarder.ts';
import { systemClock } from '../runtime/clock.ts';
import { MoveError, toMoveError } from '../runtime/errors.ts';

const seatConfigurationSchema = z.object({
  url: z.string().max(2000),
  direct: z.object({ address: z.ipv4(), port: z.number().int() }).optional(),
  overlay: z
    .object({
      certificatePem: z.string(),
      keyPem: z.string(),
      trustPem: z.string(),
      accessPoints: z
        .array(z.object({ name: z.string(), address: z.string(), port: z.number().int() }))
        .min(1),
    })
    .optional(),
  limitMs: z.number().int().min(100).max(60_000),
});
const paceSchema = z.object({ periodMs: z.number().min(1).max(60_000) });

/**
 * A person's seat as a program on a client host: a forwarder (or none, for somebody who comes directly)
 * and a probe behind it. Takes its configuration and later `{"periodMs":…}` as lines of JSON on standard
 * input, tells samples as lines of JSON on standard output, and ends when standard input closes.
 */
export async function seatMain(): Promise<number> {
  const output = new JsonLines(process.stdout);
  const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  let forwarder: Forwarder | null = null;
  let probe: HttpProbe | null = null;
  const outstanding = () => output.write({ waiting: probe?.outstanding ?? 0 });
  const timer = setInterval(outstanding, 500);
  try {
    const first = await lines.next();
    const configuration = seatConfigurationSchema.parse(JSON.parse(first.done ? '{}' : first.value));
    let via: ProbeRoute;
    if (configuration.overlay) {
      const { certificatePem, keyPem, trustPem, accessPoints } = configuration.overlay;
      const trust = [new X509Certificate(trustPem)];
      forwarder = await startForwarder({
        identity: { certificatePem, keyPem, trustPem: [trustPem] },
        authorise: (certificate) => authorise(certificate, { trust, revoked: new Set(), clock: systemClock }),
        readIdentity,
        accessPoints: accessPoints.map(({ address, port }) => `${address}:${port}`),
        services: [new URL(configuration.url).hostname],
        httpProxy: { host: '127.0.0.1', port: 0 },
        events: (event) => {
          if (event.type === 'connected') output.write({ accessPoint: event.accessPoint });
          else if (event.type === 'refused' || event.type === 'lost')
            output.write({ error: { code: event.code, message: event.message } });
        },
      });
      const proxy = new URL(forwarder.ready.httpProxy ?? '');
      via = { kind: 'proxy', host: proxy.hostname, port: Number(proxy.port) };
      output.write({ ready: true, accessPoint: forwarder.ready.accessPoint.name });
    } else if (configuration.direct) {
      via = { kind: 'direct', ...configuration.direct };
      output.write({ ready: true, accessPoint: null });
    } else throw new MoveError('OPTIONS_INVALID', 'A seat needs a way: overlay or direct.');
    const asking = new HttpProbe(
      { url: configuration.url, via, periodMs: 250, limitMs: configuration.limitMs },
      (sample) => output.write({ sample }),
    );
    probe = asking;
    asking.start();
    for await (const line of { [Symbol.asyncIterator]: () => lines })
      asking.changePeriod(paceSchema.parse(JSON.parse(line)).periodMs);
    return 0;
  } catch (thrown) {
    output.write({ error: toMoveError(thrown).toBody() });
    return 1;
  } finally {
    clearInterval(timer);
    await (probe as HttpProbe | null)?.stop(false);
    await forwarder?.close();
    await output.finish();
  }
}
