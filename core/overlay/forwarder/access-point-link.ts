import type { Clock } from '../../runtime/clock.ts';
import { MoveError, toMoveError } from '../../runtime/errors.ts';
import type { Link } from '../../runtime/link/link.ts';
import type { LinkStream } from '../../runtime/link/link-stream.ts';
import type { LinkIdentity } from '../../runtime/link/link-tls.ts';
import { connectLink } from '../../runtime/link/link-tls.ts';
import type { Authorise } from '../identity.ts';
import { splitAddress } from '../link-pool.ts';
import type { ForwarderEvents } from './forwarder-event.ts';

export interface AccessPointLinkOptions {
  identity: LinkIdentity;
  /** `host:port` of each access point, in order of preference. */
  accessPoints: readonly string[];
  authorise: Authorise;
  events: ForwarderEvents;
  clock: Clock;
  dialDeadlineMs?: number;
}

const redialMinMs = 100;
const redialMaxMs = 2000;

/**
 * Keeps one warm link to an access point. When it dies the next access point of the list is tried, round and
 * round with a growing pause, until `close`.
 */
export class AccessPointLink {
  readonly #options: AccessPointLinkOptions;
  #link: Link | undefined;
  #address = '';
  #accessPoint = '';
  #next = 0;
  #closed = false;
  #waiting = new Set<(link: Link) => void>();
  #cancelRedial: (() => void) | undefined;
  readonly #abort = new AbortController();

  constructor(options: AccessPointLinkOptions) {
    this.#options = options;
  }

  /** Where the link goes now. */
  get accessPoint(): { name: string; address: string } | undefined {
    return this.#link?.isOpen ? { name: this.#accessPoint, address: this.#address } : undefined;
  }

  /** Tries every access point once. @throws MoveError of the last one tried. */
  async start(): Promise<void> {
    let last = new MoveError('ACCESS_POINT_MISSING', 'Name at least one access point as host:port.');
    for (let index = 0; index < this.#options.accessPoints.length; index += 1) {
      try {
        await this.#dial();
        return;
      } catch (thrown) {
        last = toMoveError(thrown);
      }
    }
    throw last;
  }

  /** The open link, waited for up to `deadlineMs`. @throws MoveError `ACCESS_POINT_LOST`. */
  link(deadlineMs: number): Promise<Link> {
    if (this.#link?.isOpen) return Promise.resolve(this.#link);
    return new Promise((resolve, reject) => {
      const settle = (link: Link) => {
        cancel();
        this.#waiting.delete(settle);
        resolve(link);
      };
      const cancel = this.#options.clock.after(deadlineMs, () => {
        this.#waiting.delete(settle);
        reject(new MoveError('ACCESS_POINT_LOST', 'No access point answers; trying again by itself.'));
      });
      this.#waiting.add(settle);
    });
  }

  /** A stream to a service; bytes may flow before it is accepted. @throws MoveError */
  async open(service: string, port: number, deadlineMs: number): Promise<LinkStream> {
    const link = this.#link?.isOpen ? this.#link : await this.link(deadlineMs);
    const stream = link.openStreamNow({ kind: 'service', service, port });
    stream.accepted.catch((error: MoveError) => {
      if (error.code === 'STREAM_ABORTED') return;
      this.#options.events({ type: 'refused', service, code: error.code, message: error.message });
    });
    return stream;
  }

  close(): void {
    this.#closed = true;
    this.#cancelRedial?.();
    this.#abort.abort();
    this.#link?.close();
  }

  async #dial(): Promise<void> {
    const { accessPoints, authorise, events, clock } = this.#options;
    const address = accessPoints[this.#next % accessPoints.length]!;
    this.#next += 1;
    events({ type: 'connecting', address });
    let name = '';
    let link: Link;
    try {
      link = await connectLink({
        transport: splitAddress(address),
        identity: this.#options.identity,
        verifyPeer: (certificate, from) => {
          const identity = authorise(certificate, from);
          if (identity.role !== 'overlay') {
            throw new MoveError('PEER_MISMATCH', `${address} is not an access point but a ${identity.role}.`);
          }
          name = identity.name;
        },
        deadlineMs: this.#options.dialDeadlineMs ?? 4000,
        signal: this.#abort.signal,
        clock,
      });
    } catch (thrown) {
      const error = toMoveError(thrown);
      if (!this.#closed) events({ type: 'lost', address, code: error.code, message: error.message });
      throw error;
    }
    this.#link = link;
    this.#address = address;
    this.#accessPoint = name;
    events({ type: 'connected', address, accessPoint: name });
    for (const settle of [...this.#waiting]) settle(link);
    void link.closed.then((error) => {
      if (this.#closed) return;
      const reason = error ?? new MoveError('LINK_CLOSED', 'The access point closed the link.');
      events({ type: 'lost', address, code: reason.code, message: reason.message });
      this.#redial(0, redialMinMs);
    });
  }

  #redial(delayMs: number, nextDelayMs: number): void {
    if (this.#closed) return;
    this.#cancelRedial = this.#options.clock.after(delayMs, () => {
      // What went wrong has been told as an event; the next attempt is the answer.
      this.#dial().catch(() => this.#redial(nextDelayMs, Math.min(nextDelayMs * 2, redialMaxMs)));
    });
  }
}
