import { randomBytes } from 'node:crypto';
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import type { BenchProcesses } from './processes.ts';
import { untilListening } from './processes.ts';

const modules = '/usr/lib/apache2/modules';

/** Starts an unmodified Apache on loopback with a page of 10 KB and two large files. */
export async function startOrigin(
  directory: string,
  processes: BenchProcesses,
  bulk: { oneStreamMegabytes: number; eachOfEightMegabytes: number },
): Promise<{ port: number; pid: number }> {
  const root = join(directory, 'root');
  mkdirSync(root);
  writeFileSync(join(root, 'page'), randomBytes(10_240));
  for (const [name, megabytes] of [
    ['one', bulk.oneStreamMegabytes],
    ['eighth', bulk.eachOfEightMegabytes],
  ] as const) {
    writeFileSync(join(root, name), '');
    truncateSync(join(root, name), megabytes * 1_000_000);
  }
  const port = await freePort();
  const configuration = join(directory, 'apache.conf');
  writeFileSync(
    configuration,
    `ServerRoot ${directory}
ServerName localhost
Listen 127.0.0.1:${port}
PidFile ${join(directory, 'apache.pid')}
Mutex file:${directory} default
LoadModule mpm_event_module ${modules}/mod_mpm_event.so
LoadModule authz_core_module ${modules}/mod_authz_core.so
User www-data
Group www-data
ErrorLog ${join(directory, 'apache.log')}
DocumentRoot ${root}
KeepAlive On
MaxKeepAliveRequests 0
<Directory ${root}>
  Require all granted
</Directory>
`,
  );
  const child = processes.start('/usr/sbin/apache2', ['-f', configuration, '-DFOREGROUND']);
  await untilListening(port);
  return { port, pid: child.pid! };
}

/** A port of loopback that nobody listens on now. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
