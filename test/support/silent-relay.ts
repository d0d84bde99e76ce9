import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** A TCP relay on loopback that can swallow everything from one moment on, as a host without power does. */
export interface SilentRelay {
  /** `host:port` */
  address: string;
  port: number;
  /** Connections taken so far. */
  readonly taken: number;
  /** From now on nothing passes and nothing is answered; connections stay open, and new ones are taken. */
  silence(): void;
  /** Lets pass again what was held back. */
  speak(): void;
  close(): Promise<void>;
}

export async function silentRelay(target: number, port = 0): Promise<SilentRelay> {
  const sockets = new Set<Socket>();
  let isSilent = false;
  let taken = 0;
  const server = createServer((near) => {
    taken += 1;
    const far = connect(target, '127.0.0.1');
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.on('error', () => undefined);
      from.on('data', (chunk: Buffer) => {
        if (isSilent) from.unshift(chunk);
        else to.write(chunk);
        if (isSilent) from.pause();
      });
      from.once('close', () => {
        sockets.delete(from);
        to.destroy();
      });
      if (isSilent) from.pause();
    }
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const listening = (server.address() as AddressInfo).port;
  return {
    address: `127.0.0.1:${listening}`,
    port: listening,
    get taken() {
      return taken;
    },
    silence() {
      isSilent = true;
      for (const socket of sockets) socket.pause();
    },
    speak() {
      isSilent = false;
      for (const socket of sockets) socket.resume();
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
