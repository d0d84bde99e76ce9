import type { X509Certificate } from 'node:crypto';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '../../runtime/clock.ts';
import type { DoorPass } from '../../runtime/door-limits.ts';
import { plainAddress } from '../../runtime/link/link-tls.ts';
import { breakOff, type HttpResponse } from '../http/http-exchange.ts';
import { asHttpSocket } from '../http/http-socket.ts';
import { StreamAgent } from '../http/stream-agent.ts';
import type { OverlayIdentity } from '../identity.ts';
import type { Person } from './person.ts';

/** Node's timers hold 31 bits of milliseconds. */
const longestTimerMs = 2 ** 31 - 1;
/** People whom one connection remembers: a browser may be admitted to several services, each under its own name. */
const mostPeople = 8;

type OpenSession = (identity: OverlayIdentity, service: string, port: number) => Duplex;

/** One whom a connection serves: what is under way for them, and the sessions that it travels by. */
interface Served {
  judge: () => void;
  cancelEnd: () => void;
  agents: { kept: StreamAgent; fresh: StreamAgent };
  answers: Set<HttpResponse>;
}

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
  readonly #onward: number;
  /** By the serial of their certificate, whoever was served last at the end. */
  readonly #people = new Map<string, Served>();

  constructor(socket: TLSSocket, pass: DoorPass, onward: number, open: OpenSession) {
    this.socket = socket;
    this.pass = pass;
    this.address = plainAddress(socket.remoteAddress) ?? '';
    this.localAddress = plainAddress(socket.localAddress);
    this.certificate = socket.getPeerX509Certificate();
    this.#onward = onward;
    this.#open = open;
    socket.once('close', () => {
      for (const serial of [...this.#people.keys()]) this.#forget(serial);
    });
  }

  /**
   * Notes for whom something is under way, so that it ends when their admission does: it may be a long download.
   * Returns the agents by which their requests, and nobody else's, travel.
   */
  serve(person: Person, clock: Clock, answer?: HttpResponse): Served['agents'] {
    const { serial } = person.identity;
    const served = this.#people.get(serial) ?? this.#begin(person, clock);
    this.#people.delete(serial);
    this.#people.set(serial, served);
    this.#makeRoom();
    if (answer) {
      served.answers.add(answer);
      answer.once('close', () => served.answers.delete(answer));
    }
    return served.agents;
  }

  /** Judges everybody who is served again, and ends what is under way for those who are not welcome any more. */
  recheck(): boolean {
    const unwelcome = [...this.#people].filter(([, { judge }]) => {
      try {
        judge();
        return false;
      } catch {
        // The next request of theirs is told why.
        return true;
      }
    });
    for (const [serial] of unwelcome) this.#cut(serial);
    return unwelcome.length > 0;
  }

  #begin(person: Person, clock: Clock): Served {
    const { identity, until, judge } = person;
    let cancel: () => void = () => undefined;
    // Timers end a little early, or at most 24 days away: the clock has the last word.
    const wait = () => {
      const leftMs = until - clock.now();
      if (leftMs <= 0) this.#cut(identity.serial);
      else cancel = clock.after(Math.min(Math.ceil(leftMs), longestTimerMs), wait);
    };
    const open = (service: string, port: number) => asHttpSocket(this.#open(identity, service, port));
    const agent = (keepAlive: boolean) => new StreamAgent(open, keepAlive, this.#onward);
    const served: Served = {
      judge,
      cancelEnd: () => cancel(),
      agents: { kept: agent(true), fresh: agent(false) },
      answers: new Set(),
    };
    this.#people.set(identity.serial, served);
    wait();
    return served;
  }

  /** A connection of HTTP/2 may carry others' requests as well; one of HTTP/1.1 carries one at a time. */
  #cut(serial: string): void {
    if (this.socket.alpnProtocol === 'h2') {
      for (const answer of this.#people.get(serial)?.answers ?? []) breakOff(answer);
      this.#forget(serial);
    } else this.socket.destroy();
  }

  #forget(serial: string): void {
    const served = this.#people.get(serial);
    if (!served) return;
    this.#people.delete(serial);
    served.cancelEnd();
    served.agents.kept.destroy();
    served.agents.fresh.destroy();
  }

  /** Whoever was served longest ago, and has nothing under way, is forgotten first. */
  #makeRoom(): void {
    for (const [serial, { answers }] of this.#people) {
      if (this.#people.size <= mostPeople) return;
      if (answers.size === 0) this.#forget(serial);
    }
  }
}
