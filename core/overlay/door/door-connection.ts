import type { X509Certificate } from 'node:crypto';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '../../runtime/clock.ts';
import type { DoorPass } from '../../runtime/door-limits.ts';
import { plainAddress } from '../../runtime/link/link-tls.ts';
import { asHttpSocket } from '../http/http-socket.ts';
import { StreamAgent } from '../http/stream-agent.ts';
import type { OverlayIdentity } from '../identity.ts';
import type { Person } from './person.ts';

/** Node's timers hold 31 bits of milliseconds. */
const longestTimerMs = 2 ** 31 - 1;

type OpenSession = (identity: OverlayIdentity, service: string, port: number) => Duplex;

/** One TLS connection of a browser: who it says it is, and the sessions that its requests travel by. */
export class DoorConnection {
  readonly socket: TLSSocket;
  /** Its place at the door. */
  readonly pass: DoorPass;
  readonly address: string;
  readonly localAddress: string | undefined;
  readonly certificate: X509Certificate | undefined;
  /** Refusals are told to the journal once for a connection, however many requests it makes. */
  told = false;
  readonly #open: OpenSession;
  /** Whoever was served last, as long as they are welcome. */
  #person: { serial: string; judge: () => void; cancelEnd: () => void } | undefined;
  readonly #agents = new Map<string, { kept: StreamAgent; fresh: StreamAgent }>();

  constructor(socket: TLSSocket, pass: DoorPass, open: OpenSession) {
    this.socket = socket;
    this.pass = pass;
    this.address = plainAddress(socket.remoteAddress) ?? '';
    this.localAddress = plainAddress(socket.localAddress);
    this.certificate = socket.getPeerX509Certificate();
    this.#open = open;
    socket.once('close', () => {
      this.#person?.cancelEnd();
      for (const { kept, fresh } of this.#agents.values()) {
        kept.destroy();
        fresh.destroy();
      }
      this.#agents.clear();
    });
  }

  /** Notes who is served, so that the connection ends when their admission does: it may carry a long download. */
  serve(person: Person, clock: Clock): void {
    const { serial } = person.identity;
    if (this.#person?.serial === serial) return;
    this.#person?.cancelEnd();
    let cancel: () => void = () => undefined;
    // Timers end a little early, or at most 24 days away: the clock has the last word.
    const wait = () => {
      const leftMs = person.until - clock.now();
      if (leftMs <= 0) this.socket.destroy();
      else cancel = clock.after(Math.min(Math.ceil(leftMs), longestTimerMs), wait);
    };
    wait();
    const cancelEnd = () => cancel();
    this.#person = { serial, judge: person.judge, cancelEnd };
  }

  /** Judges whoever was served last again, and hangs up when they are not welcome any more. */
  recheck(): boolean {
    try {
      this.#person?.judge();
      return false;
    } catch {
      // The next request of theirs is told why.
      this.socket.destroy();
      return true;
    }
  }

  /** The agents of one person on this connection: whoever is admitted anew gets connections of their own. */
  agentsOf(identity: OverlayIdentity): { kept: StreamAgent; fresh: StreamAgent } {
    const known = this.#agents.get(identity.serial);
    if (known) return known;
    const open = (service: string, port: number) => asHttpSocket(this.#open(identity, service, port));
    const agents = { kept: new StreamAgent(open, true), fresh: new StreamAgent(open, false) };
    // One browser is one person: a change of identity ends what the one before it had kept.
    for (const { kept, fresh } of this.#agents.values()) {
      kept.destroy();
      fresh.destroy();
    }
    this.#agents.clear();
    this.#agents.set(identity.serial, agents);
    return agents;
  }
}
