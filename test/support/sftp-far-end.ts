import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { Duplex } from 'node:stream';
import { type SftpFrame, SftpFrameReader } from '../../core/moves/sftp/frames.ts';
import { linkedPair } from './linked-pair.ts';

export const sftpServer = '/usr/lib/openssh/sftp-server';
export const hasSftpServer = existsSync(sftpServer);

/** A storage far away: the real file server behind a path that counts, delays, stalls and breaks. */
export class SftpFarEnd {
  readonly #directory: string;
  readonly #near = new Set<Duplex>();
  readonly #held: (() => void)[] = [];
  #stalled = false;
  /** Message types that reached the server, in order, INIT left out. */
  asked: number[] = [];
  /** Streams that were opened. */
  dials = 0;
  /** No link is there. */
  unlinked = false;
  /** How long a reply takes. */
  delayMs = 0;

  constructor(directory: string) {
    this.#directory = directory;
  }

  readonly dial = (): Duplex | null => {
    if (this.unlinked) return null;
    this.dials += 1;
    const [near, far] = linkedPair();
    const server = spawn(sftpServer, ['-d', this.#directory], { stdio: ['pipe', 'pipe', 'ignore'] });
    const reader = new SftpFrameReader(({ type }: SftpFrame) => {
      if (type !== 1) this.asked.push(type);
    });
    far.on('data', (chunk: Buffer) => {
      reader.push(chunk);
      server.stdin.write(chunk);
    });
    server.stdout.on('data', (chunk: Buffer) => {
      const deliver = () => {
        if (!far.destroyed) far.write(chunk);
      };
      if (this.#stalled) this.#held.push(deliver);
      else if (this.delayMs > 0) setTimeout(deliver, this.delayMs);
      else deliver();
    });
    for (const end of [near, far, server.stdin, server.stdout]) end.on('error', () => undefined);
    near.on('close', () => {
      this.#near.delete(near);
      server.kill('SIGKILL');
    });
    this.#near.add(near);
    return near;
  };

  /** Replies are held back from now on. */
  stall(): void {
    this.#stalled = true;
  }

  /** What was held back comes, and everything after it. */
  flow(): void {
    this.#stalled = false;
    for (const deliver of this.#held.splice(0)) deliver();
  }

  /** Every stream breaks. */
  cut(): void {
    for (const near of this.#near) near.destroy();
  }

  /** How many requests of a type have reached the server since the last `asked = []`. */
  count(type: number): number {
    return this.asked.filter((one) => one === type).length;
  }
}
