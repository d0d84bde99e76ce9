import type { AgentContract, AgentEvent } from '../contract/agent-contract.ts';
import type { Client } from '../contract/channel.ts';
import type { CheckedInputOf, OutputOf } from '../contract/contract.ts';
import type { Visitor } from '../contract/domain.ts';
import type { Change } from '../contract/state.ts';
import type { Clock } from '../runtime/clock.ts';
import { MoveError } from '../runtime/errors.ts';
import type { Recorder } from './recorder.ts';
import type { StateStore } from './state-store.ts';

interface VisitorsParts {
  store: StateStore;
  recorder: Recorder;
  clock: Clock;
  /** Tells every agent what is revoked now; returns how many access points know of it. */
  tellRevoked: () => Promise<number>;
}

/** Certificates are judged by their dates a little later than clocks say; after that nobody needs to remember one. */
const keptAfterEndMs = 60_000;

/**
 * Who was admitted where by a test or a password. They are not in the authority's register, because access points sign
 * for them; their serials are enough to revoke one. Where they came from is in the journal of the admission only.
 */
export class Visitors {
  readonly #parts: VisitorsParts;

  constructor(parts: VisitorsParts) {
    this.#parts = parts;
  }

  /** Those whose time is not over, whoever stays longest first. */
  list(): OutputOf<'admission.visitors'> {
    const now = this.#parts.clock.now();
    const visitors = Object.values(this.#parts.store.state.visitors)
      .filter(({ until }) => until > now)
      .sort((one, other) => other.until - one.until || (one.id < other.id ? -1 : 1));
    return { visitors };
  }

  /** Serials that no access point may believe any more. */
  revokedSerials(): string[] {
    return Object.values(this.#parts.store.state.visitors)
      .filter(({ revokedAt }) => revokedAt !== null)
      .map(({ id }) => id);
  }

  /** Writes an admission into the journal. */
  admitted(accessPoint: string, event: Extract<AgentEvent, { type: 'admitted' }>): void {
    const { method, name, serial, services, until } = event;
    const how = method === 'human-test' ? 'passed the human test' : 'came in by password';
    this.#parts.recorder.record({
      kind: 'observation',
      type: 'admission.granted',
      tone: 'plain',
      text: `${name} ${how} at ${accessPoint}, from ${event.address}.`,
      subject: accessPoint,
      data: { method, serial, until },
      changes: [
        ...this.#overdue(),
        upsert({ id: serial, name, method, accessPoint, services, until, revokedAt: null }),
      ],
    });
  }

  /** Asks an access point that is back whom it has admitted meanwhile. */
  async learn(accessPoint: string, client: Client<AgentContract>): Promise<void> {
    const { visitors } = await client.call('overlay.visitors', {}, { deadlineMs: 5_000 });
    const unknown = visitors.filter(({ serial }) => !this.#parts.store.state.visitors[serial]);
    if (unknown.length === 0) return;
    this.#parts.recorder.record({
      kind: 'observation',
      type: 'admission.learned',
      tone: 'plain',
      text: `${accessPoint} admitted ${unknown.length === 1 ? 'one visitor' : `${unknown.length} visitors`} while the control plane was away.`,
      subject: accessPoint,
      changes: [
        ...this.#overdue(),
        ...unknown.map(({ serial, ...visitor }) =>
          upsert({ id: serial, ...visitor, accessPoint, revokedAt: null }),
        ),
      ],
    });
  }

  /**
   * Revokes what a visitor earned, and returns when every access point that answers has cut what it carried for them.
   * @throws MoveError `VISITOR_UNKNOWN`.
   */
  async revoke(
    { serial }: CheckedInputOf<'admission.revoke'>,
    actor: string,
  ): Promise<OutputOf<'admission.revoke'>> {
    const begun = performance.now();
    const wanted = serial.toLowerCase();
    const visitor = this.list().visitors.find(({ id }) => id.toLowerCase() === wanted);
    if (!visitor)
      throw new MoveError(
        'VISITOR_UNKNOWN',
        'No visitor has a certificate of this serial number now. "move admission visitors" lists them; those of people who hold one by hand are revoked by "move credential revoke".',
        { serial },
      );
    const revoked: Visitor = { ...visitor, revokedAt: visitor.revokedAt ?? this.#parts.clock.now() };
    if (visitor.revokedAt === null)
      this.#parts.recorder.record({
        kind: 'intent',
        type: 'admission.revoked',
        tone: 'decision',
        text: `What ${visitor.name} earned at ${visitor.accessPoint} is revoked.`,
        subject: visitor.accessPoint,
        actor,
        data: { serial: visitor.id },
        changes: [upsert(revoked)],
      });
    const accessPointsTold = await this.#parts.tellRevoked();
    return { visitor: revoked, accessPointsTold, toldWithinMs: Math.round(performance.now() - begun) };
  }

  /** Whoever's certificate has ended is forgotten, so that the list stays as long as there are visitors. */
  #overdue(): Change[] {
    const end = this.#parts.clock.now() - keptAfterEndMs;
    return Object.values(this.#parts.store.state.visitors)
      .filter(({ until }) => until < end)
      .map(({ id }) => ({ op: 'remove', collection: 'visitors', id }));
  }
}

const upsert = (value: Visitor): Change => ({ op: 'upsert', collection: 'visitors', id: value.id, value });
