import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BenchIdentities } from './identities.ts';
import { freePort } from './origin.ts';
import type { BenchProcesses } from './processes.ts';
import { untilListening } from './processes.ts';

/**
 * Starts four HAProxy processes with the product's three legs: plain into the first, mutual TLS 1.3 between each two, plain
 * into the origin. In mode `http` connections to the next one are kept and shared, as its manual advises for speed; in
 * mode `tcp` each client connection makes its own three handshakes.
 */
export async function startHaproxyChain(
  directory: string,
  processes: BenchProcesses,
  identities: BenchIdentities,
  originPort: number,
  mode: 'http' | 'tcp',
): Promise<{ port: number; pids: number[] }> {
  const trust = join(directory, 'haproxy-trust.pem');
  writeFileSync(trust, identities.trustPem);
  const hops = [identities.client, identities.accessPoint, identities.servlet, identities.site].map(
    ({ certificatePem, keyPem }, index) => {
      const file = join(directory, `haproxy-${index}.pem`);
      writeFileSync(file, `${certificatePem}\n${keyPem}`, { mode: 0o600 });
      return file;
    },
  );
  const pids: number[] = [];
  let next = originPort;
  for (let index = hops.length - 1; index >= 0; index -= 1) {
    const port = await freePort();
    const own = `crt ${hops[index]} ca-file ${trust} verify required`;
    const into = index === 0 ? '' : ` ssl ${own} ssl-min-ver TLSv1.3`;
    const onward = index === hops.length - 1 ? '' : ` ssl ${own} ssl-min-ver TLSv1.3`;
    const file = join(directory, `haproxy-${mode}-${index}.cfg`);
    writeFileSync(
      file,
      `defaults
  mode ${mode}
  timeout connect 5s
  timeout client 60s
  timeout server 60s
${mode === 'http' ? '  http-reuse always\n' : ''}frontend in
  bind 127.0.0.1:${port}${into}
  default_backend out
backend out
  server next 127.0.0.1:${next}${onward}
`,
    );
    pids.push(processes.start('haproxy', ['-db', '-q', '-f', file]).pid!);
    await untilListening(port);
    next = port;
  }
  return { port: next, pids };
}
