import type { z } from 'zod';
import type { eventToneSchema, JournalEvent } from '../contract/domain.ts';
import type { Change } from '../contract/state.ts';
import type { Journal } from '../journal/journal.ts';
import type { JsonObject } from '../runtime/canonical-json.ts';
import type { Clock } from '../runtime/clock.ts';
import type { StateStore } from './state-store.ts';

export interface JournalEntry {
  kind: 'intent' | 'observation';
  type: string;
  tone: z.infer<typeof eventToneSchema>;
  /** One sentence for people. */
  text: string;
  subject?: string;
  actor?: string;
  /** The state that follows from this entry: replaying the journal rebuilds it. */
  changes?: Change[];
  data?: JsonObject;
}

/**
 * Writes what happened into the journal first and into the state after it, so that state is a
 * projection of the journal (DESIGN.md, decision 3).
 */
export class Recorder {
  readonly #journal: Journal;
  readonly #store: StateStore;
  readonly #clock: Clock;
  #closed = false;

  constructor(journal: Journal, store: StateStore, clock: Clock) {
    this.#journal = journal;
    this.#store = store;
    this.#clock = clock;
  }

  /** From here on nothing is recorded: what is still heard of while everything ends belongs to the next start. */
  close(): void {
    this.#closed = true;
  }

  /** Journals durably, then applies the changes and shows the event. */
  record(entry: JournalEntry): void {
    if (this.#closed) return;
    const at = this.#clock.now();
    const sequence = this.#journal.append({
      kind: entry.kind,
      type: entry.type,
      ...(entry.subject === undefined ? {} : { subject: entry.subject }),
      ...(entry.actor === undefined ? {} : { actor: entry.actor }),
      data: {
        ...entry.data,
        tone: entry.tone,
        text: entry.text,
        ...(entry.changes ? { changes: entry.changes as unknown as JsonObject[] } : {}),
      },
    });
    const id = String(sequence);
    const event: JournalEvent = {
      id,
      at,
      type: entry.type,
      tone: entry.tone,
      text: entry.text,
      subject: entry.subject ?? null,
    };
    this.#store.change([...(entry.changes ?? []), { op: 'upsert', collection: 'events', id, value: event }]);
  }
}
