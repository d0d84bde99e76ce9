import { MoveError } from '../../runtime/errors.ts';

/** Message types of SFTP version 3 (draft-ietf-secsh-filexfer-02). */
export const sftpType = {
  init: 1,
  version: 2,
  open: 3,
  close: 4,
  read: 5,
  write: 6,
  lstat: 7,
  fstat: 8,
  setstat: 9,
  fsetstat: 10,
  opendir: 11,
  readdir: 12,
  remove: 13,
  mkdir: 14,
  rmdir: 15,
  realpath: 16,
  stat: 17,
  rename: 18,
  readlink: 19,
  symlink: 20,
  status: 101,
  handle: 102,
  data: 103,
  name: 104,
  attrs: 105,
  extended: 200,
  extendedReply: 201,
} as const;

/** Flag of an OPEN that only reads. */
export const openForReading = 1;

/** OpenSSH's programs take no longer message (SFTP_MAX_MSG_LENGTH). */
export const frameBytesAtMost = 256 * 1024;

/** One message: what follows its length and type. For all but INIT and VERSION it begins with the request's number. */
export interface SftpFrame {
  type: number;
  payload: Buffer;
}

const malformed = (what: string) =>
  new MoveError('SFTP_MALFORMED', `A message of SFTP is malformed: ${what}.`);

/** Cuts a stream of bytes into messages; holds at most one that has not come whole. */
export class SftpFrameReader {
  readonly #onFrame: (frame: SftpFrame) => void;
  #pieces: Buffer[] = [];
  #held = 0;

  constructor(onFrame: (frame: SftpFrame) => void) {
    this.#onFrame = onFrame;
  }

  /**
   * Takes the next bytes, however they are cut.
   * @throws MoveError `SFTP_FRAME_TOO_LARGE`, `SFTP_MALFORMED`.
   */
  push(chunk: Buffer): void {
    this.#pieces.push(chunk);
    this.#held += chunk.length;
    while (this.#held >= 4) {
      if (this.#pieces[0]!.length < 4) this.#gather();
      const length = this.#pieces[0]!.readUInt32BE(0);
      if (length > frameBytesAtMost)
        throw new MoveError('SFTP_FRAME_TOO_LARGE', 'A message of SFTP is longer than any may be.', {
          length,
          limit: frameBytesAtMost,
        });
      if (length < 5) throw malformed(`${length} bytes are too few`);
      if (this.#held < 4 + length) return;
      if (this.#pieces[0]!.length < 4 + length) this.#gather();
      const first = this.#pieces[0]!;
      this.#held -= 4 + length;
      if (first.length > 4 + length) this.#pieces[0] = first.subarray(4 + length);
      else this.#pieces.shift();
      this.#onFrame({ type: first[4]!, payload: first.subarray(5, 4 + length) });
    }
  }

  #gather(): void {
    this.#pieces = [Buffer.concat(this.#pieces)];
  }
}

/** Reads the fields of a message in order. Every step throws `SFTP_MALFORMED` when there are too few bytes. */
export class SftpFields {
  readonly #payload: Buffer;
  #offset = 0;

  constructor(payload: Buffer) {
    this.#payload = payload;
  }

  number(): number {
    if (this.#payload.length - this.#offset < 4) throw malformed('a number is missing');
    const value = this.#payload.readUInt32BE(this.#offset);
    this.#offset += 4;
    return value;
  }

  string(): Buffer {
    const length = this.number();
    if (this.#payload.length - this.#offset < length) throw malformed('a string is cut off');
    this.#offset += length;
    return this.#payload.subarray(this.#offset - length, this.#offset);
  }

  rest(): Buffer {
    return this.#payload.subarray(this.#offset);
  }
}

/** A number as SFTP writes it. */
export function sftpNumber(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** A string as SFTP writes it. */
export function sftpString(value: Buffer | string): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value) : value;
  return Buffer.concat([sftpNumber(bytes.length), bytes]);
}

/** A whole message of these parts, its length and type before them. */
export function sftpFrame(type: number, ...parts: Buffer[]): Buffer {
  const length = parts.reduce((sum, part) => sum + part.length, 1);
  const head = Buffer.allocUnsafe(5);
  head.writeUInt32BE(length);
  head[4] = type;
  return Buffer.concat([head, ...parts], 4 + length);
}

/** What SFTP's status codes mean here. */
export const sftpStatus = {
  ok: 0,
  failure: 4,
  unsupported: 8,
  /**
   * Version 3 knows no code that sshfs turns into EIO (its FAILURE becomes EPERM), but every code it does not
   * know. This is NO_MEDIA of later versions, which says what is the matter.
   */
  unreachable: 13,
} as const;

/** The payload of a STATUS after its number. */
export function statusBody(code: number, message: string): Buffer {
  return Buffer.concat([sftpNumber(code), sftpString(message), sftpString('')]);
}

/** Whether ATTRS describe a regular file. @throws MoveError `SFTP_MALFORMED`. */
export function isRegularFile(attributes: Buffer): boolean {
  const fields = new SftpFields(attributes);
  const flags = fields.number();
  if (flags & 1) {
    fields.number();
    fields.number();
  }
  if (flags & 2) {
    fields.number();
    fields.number();
  }
  return (flags & 4) !== 0 && (fields.number() & 0o170000) === 0o100000;
}
