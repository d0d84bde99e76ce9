import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildNative } from '../../compliance/pod-runtime/gateway-fixture.ts';
import type { BenchIdentities } from './identities.ts';
import { benchService } from './identities.ts';
import { freePort } from './origin.ts';
import type { OverlayHostOptions } from './overlay-host.ts';
import type { BenchProcesses } from './processes.ts';
import { firstLine, untilListening } from './processes.ts';

const host = fileURLToPath(new URL('overlay-host.ts', import.meta.url));
/** As control starts agents. */
const agentOptions = ['--initial-old-space-size=64', '--max-semi-space-size=2'];
const commandLine = fileURLToPath(new URL('../../../dist/cli.mjs', import.meta.url));

/**
 * Starts the product's path as processes of their own: the forwarder with a fixed port (`move connect`), access point,
 * servlet and hosting site, and the pod's gateway in front of the origin.
 */
export async function startOverlayChain(
  directory: string,
  processes: BenchProcesses,
  identities: BenchIdentities,
  originPort: number,
): Promise<{
  port: number;
  httpProxyPort: number;
  pids: number[];
  accessPoint: { port: number; pid: number };
}> {
  const { gatewayPath } = buildNative(directory);
  const gatewaySocket = join(directory, 'gateway.sock');
  const addresses = ['--service-address', '127.0.0.1', '--source-address', '127.0.0.1'];
  const gateway = processes.start(gatewayPath, [
    '--socket',
    gatewaySocket,
    ...addresses,
    '--',
    'sleep',
    '3600',
  ]);
  const startHost = async (options: OverlayHostOptions) => {
    const child = processes.start(process.execPath, [...agentOptions, host], JSON.stringify(options));
    return { pid: child.pid!, ...(await firstLine<{ port: number }>(child)) };
  };
  const site = await startHost({ role: 'site', identity: identities.site, gatewaySocket });
  const servlet = await startHost({
    role: 'overlay',
    name: 'node-2',
    identity: identities.servlet,
    peers: [],
    site: { name: 'a1', address: `127.0.0.1:${site.port}` },
  });
  const accessPoint = await startHost({
    role: 'overlay',
    name: 'node-1',
    identity: identities.accessPoint,
    peers: [{ name: 'node-2', address: `127.0.0.1:${servlet.port}` }],
    site: { name: 'a1', address: `127.0.0.1:${site.port}` },
  });
  const files = { certificate: identities.client.certificatePem, key: identities.client.keyPem };
  for (const [name, pem] of Object.entries({ ...files, trust: identities.trustPem })) {
    writeFileSync(join(directory, `client-${name}.pem`), pem, { mode: 0o600 });
    chmodSync(join(directory, `client-${name}.pem`), 0o600);
  }
  const [port, httpProxyPort] = [await freePort(), await freePort()];
  const forwarder = processes.start(process.execPath, [
    commandLine,
    'connect',
    ...['certificate', 'key', 'trust'].flatMap((name) => [
      `--${name}`,
      join(directory, `client-${name}.pem`),
    ]),
    '--access-point',
    `127.0.0.1:${accessPoint.port}`,
    '--forward',
    `${port}=${benchService}:${originPort}`,
    '--http',
    `127.0.0.1:${httpProxyPort}`,
  ]);
  await firstLine(forwarder);
  await untilListening(port);
  return {
    port,
    httpProxyPort,
    pids: [forwarder.pid!, accessPoint.pid, servlet.pid, site.pid, gateway.pid!],
    accessPoint,
  };
}
