import net from 'node:net';
import { consoleLink } from './plan.ts';

/**
 * Carries every connection to `socketPath` to the admin host's sshd: the one way into the lab, with no
 * interface on the workstation.
 */
export function openBridge(socketPath: string): Promise<net.Server> {
  const server = net.createServer({ allowHalfOpen: true }, (near) => {
    const far = net.connect({ host: consoleLink.admin, port: 22, allowHalfOpen: true, noDelay: true });
    near.pipe(far);
    far.pipe(near);
    const end = () => {
      near.destroy();
      far.destroy();
    };
    near.on('error', end);
    far.on('error', end);
    near.on('close', end);
    far.on('close', end);
  });
  server.maxConnections = 256;
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(socketPath, () => {
      server.off('error', reject);
      resolve(server);
    });
  });
}
