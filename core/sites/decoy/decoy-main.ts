import type { Server } from 'node:net';
import { DecoyServer } from './decoy-server.ts';
import { pictureSchema } from './picture.ts';

const tellEveryMs = 1_000;

/**
 * The decoy as a program of its own, started by a site's agent as nobody: it is handed the listening socket and the
 * pages over its channel, tells its figures there, and ends when the channel does.
 */
export function decoyMain(): Promise<number> {
  return new Promise((resolve) => {
    let decoy: DecoyServer | undefined;
    process.once('message', (message: unknown, listener: unknown) => {
      const { picture } = message as { picture: unknown };
      decoy = new DecoyServer(pictureSchema.parse(picture));
      decoy.server.listen(listener as Server);
      process.send?.({ ready: true });
      const told = decoy;
      setInterval(() => process.connected && process.send?.({ figures: told.figures }), tellEveryMs).unref();
    });
    process.once('disconnect', () => {
      decoy?.close();
      resolve(0);
    });
  });
}
