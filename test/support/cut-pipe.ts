import { type Duplex, duplexPair } from 'node:stream';
import { MoveError } from '../../core/runtime/errors.ts';

/**
 * A path in memory that breaks after a given number of bytes in each direction. What is under way at the
 * cut is lost, as on a real connection.
 */
export function cutPipe(cutAfter: { up: number; down: number }, onServer: (stream: Duplex) => void): Duplex {
  const [client, clientFar] = duplexPair();
  const [serverFar, server] = duplexPair();
  const budget = { ...cutAfter };
  const cut = () => {
    const error = new MoveError('PATH_LOST', 'cut by the test');
    client.destroy(error);
    server.destroy();
    clientFar.destroy();
    serverFar.destroy();
  };
  const carry = (from: Duplex, to: Duplex, direction: 'up' | 'down') => {
    from.on('data', (chunk: Buffer) => {
      if (to.destroyed) return;
      budget[direction] -= chunk.length;
      if (budget[direction] < 0) {
        const rest = chunk.subarray(0, chunk.length + budget[direction]);
        if (rest.length > 0) to.write(rest);
        // The last bytes get through; everything after them does not.
        setImmediate(cut);
        from.pause();
        return;
      }
      if (!to.write(chunk)) {
        from.pause();
        to.once('drain', () => from.resume());
      }
    });
    from.on('end', () => to.end());
    from.on('error', () => undefined);
    from.on('close', () => setImmediate(() => to.destroyed || from.readableEnded || cut()));
  };
  carry(clientFar, serverFar, 'up');
  carry(serverFar, clientFar, 'down');
  client.on('close', () => setImmediate(cut));
  onServer(server);
  return client;
}
