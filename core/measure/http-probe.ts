import { createHash } from 'node:crypto';
import { connect, isIPv4, type Socket } from 'node:net';
import { type Clock, systemClock } from '../runtime/clock.ts';
import { MoveError } from '../runtime/errors.ts';
import { HttpResponseParser, HttpSyntaxError } from './http-response-parser.ts';
import type { ProbeOutcome, ProbeSample } from './probe-sample.ts';

/** By which way the probe reaches the service. */
export type ProbeRoute =
  | { kind: 'proxy'; host: string; port: number }
  | { kind: 'direct'; address: string; port: number };

export interface HttpProbeOptions {
  /** What is asked for: an `http:` URL. Its host becomes the Host header on every route. */
  url: string;
  via: ProbeRoute;
  /** Milliseconds from one request to the next, however slow the answers are. Default 10. */
  periodMs?: number;
  /** Milliseconds after which a request without a complete answer has failed. Default 5000. */
  limitMs?: number;
  /** Hex SHA-256 of the right body. Left out, the first whole answer with status 200 sets what is right. */
  expectedSha256?: string;
  /** Longest body in bytes that can be right. Default 4 MiB. */
  maximumBodyBytes?: number;
  clock?: Clock;
}

interface Request {
  startedAt: number;
  startedMonotonic: number;
  connection: Connection;
  ended: boolean;
}

/** A connection that was idle this long is closed rather than used: Apache closes its own after 5 s. */
const IDLE_LIMIT_MS = 2000;
/** Milliseconds within which a request that has reached its limit is given up. */
const WATCH_MS = 50;
/** Requests that may be outstanding at once, whatever pace and limit say. */
const MAXIMUM_OUTSTANDING = 2001;

/**
 * Asks for one URL over and over in open loop: a new request every `periodMs` whether or not the earlier
 * ones were answered, so that a stall is measured by every person who would have met it. Each request takes
 * the most recently used idle keep-alive connection or opens a new one; none is ever sent twice. At most
 * limitMs / periodMs requests (and idle connections) exist at a time, and never more than 2001.
 *
 * An answer is right when its status is 200 and its body is the expected one to the last byte.
 */
export class HttpProbe {
  readonly #options: Required<Omit<HttpProbeOptions, 'expectedSha256' | 'clock'>>;
  readonly #clock: Clock;
  readonly #onSample: (sample: ProbeSample) => void;
  readonly #target: { host: string; port: number };
  readonly #head: Buffer;
  readonly #waiting: Request[] = [];
  readonly #idle: Connection[] = [];
  #expectedSha256: string | undefined;
  #expected: Buffer | undefined;
  #timer: NodeJS.Timeout | undefined;
  #nextAt = 0;
  #issuing = false;
  #ended: (() => void) | undefined;

  /** @throws MoveError `PROBE_INVALID` when the options make no sense. */
  constructor(options: HttpProbeOptions, onSample: (sample: ProbeSample) => void) {
    this.#options = { periodMs: 10, limitMs: 5000, maximumBodyBytes: 4 << 20, ...options };
    this.#clock = options.clock ?? systemClock;
    this.#onSample = onSample;
    this.#expectedSha256 = options.expectedSha256?.toLowerCase();
    const url = URL.canParse(options.url) ? new URL(options.url) : undefined;
    const { periodMs, limitMs, via } = this.#options;
    const reason =
      url === undefined || url.protocol !== 'http:'
        ? 'the URL must begin with http://'
        : url.username !== '' || url.password !== ''
          ? 'the URL must carry no password'
          : !(periodMs >= 1 && periodMs <= 60_000)
            ? 'periodMs must be 1 to 60000'
            : !(limitMs >= 1 && limitMs <= 60_000 && limitMs / periodMs <= 2000)
              ? 'limitMs must be 1 to 60000, and at most 2000 periods'
              : via.kind === 'direct' && !isIPv4(via.address)
                ? 'a direct probe needs an IPv4 address'
                : undefined;
    if (reason !== undefined || url === undefined) {
      throw new MoveError('PROBE_INVALID', `This probe cannot run: ${reason}.`, { url: options.url });
    }
    this.#target =
      via.kind === 'proxy' ? { host: via.host, port: via.port } : { host: via.address, port: via.port };
    const form =
      via.kind === 'proxy' ? `http://${url.host}${url.pathname}${url.search}` : url.pathname + url.search;
    this.#head = Buffer.from(
      `GET ${form} HTTP/1.1\r\nHost: ${url.host}\r\nUser-Agent: move-probe\r\nAccept: */*\r\nCache-Control: no-store\r\n\r\n`,
      'latin1',
    );
  }

  /** Requests that have not ended yet. */
  get outstanding(): number {
    return this.#waiting.length;
  }

  /** Begins to ask. */
  start(): void {
    if (this.#issuing || this.#timer !== undefined) return;
    this.#issuing = true;
    this.#nextAt = this.#clock.monotonic();
    this.#tick();
  }

  /**
   * Sends no further request, waits for those outstanding (each has its own limit), then closes every
   * connection. With `drain` false the outstanding ones are dropped uncounted.
   */
  async stop(drain = true): Promise<void> {
    this.#issuing = false;
    if (drain && this.#waiting.length > 0) {
      await new Promise<void>((resolve) => {
        this.#ended = resolve;
      });
    }
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const request of this.#waiting.splice(0)) request.connection.destroy();
    for (const connection of this.#idle.splice(0)) connection.destroy();
  }

  /**
   * Asks faster or slower from now on; what is right and what is outstanding stay as they are.
   * @throws MoveError `PROBE_INVALID` when `periodMs` is not 1 to 60000, or the limit is more than 2000 periods.
   */
  changePeriod(periodMs: number): void {
    if (!(periodMs >= 1 && periodMs <= 60_000 && this.#options.limitMs / periodMs <= 2000)) {
      throw new MoveError(
        'PROBE_INVALID',
        'This probe cannot run at that pace: periodMs must be 1 to 60000.',
        {
          periodMs,
        },
      );
    }
    this.#options.periodMs = periodMs;
    if (!this.#issuing) return;
    this.#nextAt = Math.min(this.#nextAt, this.#clock.monotonic() + periodMs);
    clearTimeout(this.#timer);
    this.#tick();
  }

  #tick(): void {
    const now = this.#clock.monotonic();
    const { periodMs, limitMs } = this.#options;
    while (this.#waiting.length > 0) {
      const oldest = this.#waiting[0]!;
      if (!oldest.ended && now - oldest.startedMonotonic < limitMs) break;
      if (oldest.ended) this.#waiting.shift();
      else this.#end(oldest, 'timeout', `no complete answer within ${limitMs} ms`);
    }
    while (this.#idle.length > 0 && now - this.#idle[0]!.idleSince > IDLE_LIMIT_MS)
      this.#idle.shift()?.destroy();
    if (this.#issuing) {
      // After a pause of this process the missed requests are sent at once, but never more than one limit's worth.
      if (now - this.#nextAt > limitMs) this.#nextAt = now;
      while (this.#nextAt <= now) {
        this.#nextAt += periodMs;
        if (this.#waiting.length < MAXIMUM_OUTSTANDING) this.#issue();
      }
    }
    // While something is outstanding its limit is looked after, however slow the pace is.
    const untilNext = this.#issuing ? this.#nextAt - this.#clock.monotonic() : periodMs;
    const delay = this.#waiting.length > 0 ? Math.min(untilNext, WATCH_MS) : untilNext;
    this.#timer = setTimeout(() => this.#tick(), Math.max(0, delay));
  }

  #issue(): void {
    const connection = this.#idle.pop() ?? new Connection(this.#target, this.#options.maximumBodyBytes);
    const request: Request = {
      startedAt: this.#clock.now(),
      startedMonotonic: this.#clock.monotonic(),
      connection,
      ended: false,
    };
    this.#waiting.push(request);
    connection.ask(this.#head, (outcome, detail, body) => {
      if (outcome === 'ok') {
        const fault = this.#fault(body);
        this.#end(request, fault === undefined ? 'ok' : 'wrong', fault);
      } else this.#end(request, outcome, detail);
    });
  }

  #end(request: Request, outcome: ProbeOutcome, detail: string | undefined): void {
    if (request.ended) return;
    request.ended = true;
    const index = this.#waiting.indexOf(request);
    if (index !== -1) this.#waiting.splice(index, 1);
    const connection = request.connection;
    if (connection.reusable && outcome !== 'timeout') {
      connection.idleSince = this.#clock.monotonic();
      connection.onIdleClose = () => {
        const place = this.#idle.indexOf(connection);
        if (place !== -1) this.#idle.splice(place, 1);
      };
      this.#idle.push(connection);
    } else connection.destroy();
    const durationMs = this.#clock.monotonic() - request.startedMonotonic;
    this.#onSample({
      startedAt: request.startedAt,
      durationMs,
      outcome,
      ...(detail === undefined ? {} : { detail: detail.slice(0, 300) }),
    });
    if (this.#waiting.length === 0) this.#ended?.();
  }

  /** What is wrong with a body; undefined when it is right. */
  #fault(body: Buffer): string | undefined {
    if (this.#expected !== undefined) {
      if (body.equals(this.#expected)) return undefined;
      return body.length === this.#expected.length
        ? 'other bytes than expected'
        : `${body.length} bytes instead of ${this.#expected.length}`;
    }
    const digest = createHash('sha256').update(body).digest('hex');
    if (this.#expectedSha256 !== undefined && digest !== this.#expectedSha256) {
      return `other bytes than expected (SHA-256 ${digest})`;
    }
    this.#expected = body;
    return undefined;
  }
}

type Answer = (outcome: ProbeOutcome, detail: string | undefined, body: Buffer) => void;
const NOTHING = Buffer.alloc(0);

/** One connection, on which one request at a time is asked. */
class Connection {
  readonly #socket: Socket;
  readonly #parser: HttpResponseParser;
  readonly #maximumBody: number;
  #answer: Answer | undefined;
  #connected = false;
  #status = 0;
  #parts: Buffer[] = [];
  #length = 0;
  reusable = false;
  idleSince = 0;
  onIdleClose: (() => void) | undefined;

  constructor(target: { host: string; port: number }, maximumBody: number) {
    this.#maximumBody = maximumBody;
    this.#parser = new HttpResponseParser({
      onHead: (status) => {
        this.#status = status;
      },
      onBody: (bytes) => {
        this.#length += bytes.length;
        if (this.#length > this.#maximumBody) throw new HttpSyntaxError('a body longer than allowed');
        this.#parts.push(bytes);
      },
      onEnd: (reusable) => {
        this.reusable = reusable;
        const body = this.#parts.length === 1 ? this.#parts[0]! : Buffer.concat(this.#parts);
        if (this.#status === 200) this.#settle('ok', undefined, body);
        else this.#settle('wrong', `status ${this.#status}: ${excerpt(body)}`);
      },
    });
    this.#socket = connect({ host: target.host, port: target.port, noDelay: true });
    this.#socket.on('connect', () => {
      this.#connected = true;
    });
    this.#socket.on('data', (bytes) => this.#receive(bytes));
    this.#socket.on('end', () => {
      this.reusable = false;
      if (this.#answer === undefined) this.#drop();
      else if (!this.#parser.close())
        this.#settle('reset', 'the connection was closed before the answer was complete');
    });
    this.#socket.on('error', (error: NodeJS.ErrnoException) => {
      this.reusable = false;
      if (this.#answer === undefined) this.#drop();
      else if (error.code === 'ETIMEDOUT') this.#settle('timeout', error.code);
      else this.#settle(this.#connected ? 'reset' : 'refused', error.code ?? error.message);
    });
    this.#socket.on('close', () => {
      this.reusable = false;
      if (this.#answer === undefined) this.#drop();
      else this.#settle('reset', 'the connection was closed');
    });
  }

  ask(head: Buffer, answer: Answer): void {
    this.#answer = answer;
    this.onIdleClose = undefined;
    this.reusable = false;
    this.#parts = [];
    this.#length = 0;
    this.#parser.reset();
    this.#socket.write(head);
  }

  destroy(): void {
    this.#answer = undefined;
    this.onIdleClose = undefined;
    this.#socket.destroy();
  }

  #receive(bytes: Buffer): void {
    if (this.#answer === undefined) {
      this.#drop(); // bytes nobody asked for: this connection can carry no further request
      return;
    }
    try {
      this.#parser.push(bytes);
    } catch (thrown) {
      if (!(thrown instanceof HttpSyntaxError)) throw thrown;
      this.reusable = false;
      this.#settle('wrong', thrown.message);
    }
  }

  #settle(outcome: ProbeOutcome, detail: string | undefined, body: Buffer = NOTHING): void {
    const answer = this.#answer;
    this.#answer = undefined;
    this.#parts = [];
    answer?.(outcome, detail, body);
  }

  #drop(): void {
    this.reusable = false;
    this.onIdleClose?.();
    this.#socket.destroy();
  }
}

/** The words of an error page, as far as they help. */
function excerpt(body: Buffer): string {
  return body
    .toString('utf8', 0, 4096)
    .replace(/<style[\s\S]*?<\/style>|<[^>]*>/g, ' ')
    .replace(/\s+/g, ' ')
    .trim()
    .slice(0, 240);
}
