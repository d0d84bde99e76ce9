/** Longest status line and headers that an answer may have, in bytes. */
const MAXIMUM_HEAD = 16_384;

export interface HttpResponseHandler {
  onHead(status: number): void;
  onBody(bytes: Buffer): void;
  /** The answer is complete. `reusable`: the server keeps the connection open for another request. */
  onEnd(reusable: boolean): void;
}

/** The bytes are not an HTTP/1.1 answer; the message says why. */
export class HttpSyntaxError extends Error {}

type State =
  | 'head'
  | 'counted'
  | 'chunk-size'
  | 'chunk-data'
  | 'chunk-end'
  | 'trailer'
  | 'until-close'
  | 'done';

/**
 * Parses the answers to GET requests on one connection, one at a time (RFC 9112 sections 2 to 7), with no
 * copies of the body: about a tenth of the work of node:http, which matters to a probe that shares two cores
 * with what it measures. Bounded: a head of at most 16 KiB, chunk lines of at most 256 bytes.
 * Throws HttpSyntaxError on anything malformed.
 */
export class HttpResponseParser {
  readonly #handler: HttpResponseHandler;
  #state: State = 'head';
  #held: Buffer = Buffer.alloc(0);
  #left = 0;
  #reusable = true;
  #trailerBytes = 0;

  constructor(handler: HttpResponseHandler) {
    this.#handler = handler;
  }

  /** Whether nothing of the current answer has arrived yet. */
  get untouched(): boolean {
    return this.#state === 'head' && this.#held.length === 0;
  }

  /** Ready for the answer to the next request on the same connection. */
  reset(): void {
    this.#state = 'head';
    this.#held = Buffer.alloc(0);
  }

  /** The server closed its side. True when that was the proper end of the answer. */
  close(): boolean {
    if (this.#state !== 'until-close') return false;
    this.#state = 'done';
    this.#handler.onEnd(false);
    return true;
  }

  push(chunk: Buffer): void {
    let bytes = chunk;
    while (bytes.length > 0) {
      switch (this.#state) {
        case 'head':
          bytes = this.#head(bytes);
          break;
        case 'counted':
        case 'chunk-data': {
          const part = bytes.length > this.#left ? bytes.subarray(0, this.#left) : bytes;
          this.#left -= part.length;
          bytes = bytes.subarray(part.length);
          this.#handler.onBody(part);
          if (this.#left > 0) break;
          if (this.#state === 'counted') this.#finish();
          else this.#state = 'chunk-end';
          break;
        }
        case 'until-close':
          this.#handler.onBody(bytes);
          return;
        case 'done':
          throw new HttpSyntaxError('bytes after the end of the answer');
        default:
          bytes = this.#chunkLine(bytes);
      }
    }
  }

  #finish(): void {
    this.#state = 'done';
    this.#handler.onEnd(this.#reusable);
  }

  #head(bytes: Buffer): Buffer {
    const whole = this.#held.length === 0 ? bytes : Buffer.concat([this.#held, bytes]);
    const end = whole.indexOf('\r\n\r\n');
    if (end === -1 ? whole.length > MAXIMUM_HEAD : end > MAXIMUM_HEAD) {
      throw new HttpSyntaxError('a head longer than 16 KiB');
    }
    if (end === -1) {
      this.#held = Buffer.from(whole);
      return Buffer.alloc(0);
    }
    this.#held = Buffer.alloc(0);
    this.#readHead(whole.toString('latin1', 0, end).split('\r\n'));
    return whole.subarray(end + 4);
  }

  #readHead(lines: string[]): void {
    const match = /^HTTP\/1\.([01]) (\d{3})(?: |$)/.exec(lines[0] ?? '');
    if (match === null) throw new HttpSyntaxError('not an HTTP/1.1 status line');
    const status = Number(match[2]);
    if (status >= 100 && status < 200) return; // an interim answer (RFC 9110 section 15.2): the real one follows
    let length: number | undefined;
    let chunked = false;
    this.#reusable = match[1] === '1';
    for (const line of lines.slice(1)) {
      const colon = line.indexOf(':');
      if (colon < 1) throw new HttpSyntaxError('a header line without a name');
      const name = line.slice(0, colon).toLowerCase();
      const value = line
        .slice(colon + 1)
        .trim()
        .toLowerCase();
      if (name === 'content-length') {
        if (!/^\d{1,15}$/.test(value) || (length !== undefined && length !== Number(value))) {
          throw new HttpSyntaxError('an unusable Content-Length');
        }
        length = Number(value);
      } else if (name === 'transfer-encoding') {
        if (value !== 'chunked') throw new HttpSyntaxError(`transfer coding ${value.slice(0, 40)}`);
        chunked = true;
      } else if (name === 'connection') {
        if (value.split(/\s*,\s*/).includes('close')) this.#reusable = false;
        else if (value.split(/\s*,\s*/).includes('keep-alive')) this.#reusable = true;
      }
    }
    this.#handler.onHead(status);
    if (status === 204 || status === 304) this.#finish();
    else if (chunked) this.#state = 'chunk-size';
    else if (length === undefined) this.#state = 'until-close';
    else if (length === 0) this.#finish();
    else {
      this.#left = length;
      this.#state = 'counted';
    }
  }

  #chunkLine(bytes: Buffer): Buffer {
    const whole = this.#held.length === 0 ? bytes : Buffer.concat([this.#held, bytes]);
    const end = whole.indexOf('\r\n');
    if (end === -1) {
      if (whole.length > 256) throw new HttpSyntaxError('a chunk line longer than 256 bytes');
      this.#held = Buffer.from(whole);
      return Buffer.alloc(0);
    }
    this.#held = Buffer.alloc(0);
    const line = whole.toString('latin1', 0, end);
    if (this.#state === 'chunk-end') {
      if (line !== '') throw new HttpSyntaxError('a chunk longer than announced');
      this.#state = 'chunk-size';
    } else if (this.#state === 'trailer') {
      this.#trailerBytes += end;
      if (this.#trailerBytes > MAXIMUM_HEAD) throw new HttpSyntaxError('trailers longer than 16 KiB');
      if (line === '') this.#finish();
    } else {
      const size = /^([0-9a-f]{1,8})(?:[ \t]*;.*)?$/i.exec(line)?.[1];
      if (size === undefined) throw new HttpSyntaxError('an unusable chunk size');
      this.#left = Number.parseInt(size, 16);
      this.#trailerBytes = 0;
      this.#state = this.#left === 0 ? 'trailer' : 'chunk-data';
    }
    return whole.subarray(end + 2);
  }
}
