import type { Duplex } from 'node:stream';
import {
  SftpFields,
  SftpFrameReader,
  sftpFrame,
  sftpNumber,
  sftpString,
  sftpType,
} from '../../core/moves/sftp/frames.ts';

export interface SftpAnswer {
  type: number;
  fields: SftpFields;
}

/** Speaks SFTP as sshfs does: many requests at once, numbers from 0 on. */
export class SftpClient {
  readonly stream: Duplex;
  readonly #waiting = new Map<number, (answer: SftpAnswer) => void>();
  readonly #greeted = Promise.withResolvers<void>();
  #next = 0;
  closed = false;
  /** Answers to what nobody asked, or twice. */
  strays = 0;

  constructor(stream: Duplex) {
    this.stream = stream;
    const reader = new SftpFrameReader(({ type, payload }) => {
      if (type === sftpType.version) {
        this.#greeted.resolve();
        return;
      }
      const fields = new SftpFields(payload);
      const number = fields.number();
      const settle = this.#waiting.get(number);
      if (!settle) this.strays += 1;
      this.#waiting.delete(number);
      settle?.({ type, fields });
    });
    stream.on('data', (chunk: Buffer) => reader.push(chunk));
    stream.on('error', () => undefined);
    stream.on('close', () => {
      this.closed = true;
    });
  }

  /** Says hello and waits for the version. */
  greet(): Promise<void> {
    this.stream.write(sftpFrame(sftpType.init, sftpNumber(3)));
    return this.#greeted.promise;
  }

  ask(type: number, ...body: Buffer[]): Promise<SftpAnswer> {
    const number = this.#next++;
    const answer = new Promise<SftpAnswer>((resolve) => this.#waiting.set(number, resolve));
    this.stream.write(sftpFrame(type, sftpNumber(number), ...body));
    return answer;
  }

  /** The status code of the answer, or -1 when it is none. */
  async status(type: number, ...body: Buffer[]): Promise<number> {
    const answer = await this.ask(type, ...body);
    return answer.type === sftpType.status ? answer.fields.number() : -1;
  }

  /** Opens a file as sshfs does, together with its LSTAT. @throws Error with the status code. */
  async open(path: string, flags = 1): Promise<{ handle: Buffer; attributes: Buffer }> {
    const opened = this.ask(sftpType.open, sftpString(path), sftpNumber(flags), sftpNumber(0));
    const told = await this.ask(sftpType.lstat, sftpString(path));
    const answer = await opened;
    if (answer.type !== sftpType.handle) throw new Error(`open: status ${answer.fields.number()}`);
    return { handle: answer.fields.string(), attributes: told.fields.rest() };
  }

  /** Reads at most `bytes` from the beginning. @throws Error with the status code. */
  async read(handle: Buffer, bytes = 32_768): Promise<string> {
    const answer = await this.ask(
      sftpType.read,
      sftpString(handle),
      sftpNumber(0),
      sftpNumber(0),
      sftpNumber(bytes),
    );
    if (answer.type !== sftpType.data) throw new Error(`read: status ${answer.fields.number()}`);
    return answer.fields.string().toString();
  }

  write(handle: Buffer, text: string): Promise<number> {
    return this.status(sftpType.write, sftpString(handle), sftpNumber(0), sftpNumber(0), sftpString(text));
  }

  close(handle: Buffer): Promise<number> {
    return this.status(sftpType.close, sftpString(handle));
  }
}
