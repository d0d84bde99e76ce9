import type { JournalRecord } from './record.ts';

type Listener = (record: JournalRecord) => void;

/** Tells records to listeners in order, also when a listener appends further records while it is told. */
export class Listeners {
  private readonly listeners = new Set<Listener>();
  private readonly waiting: JournalRecord[] = [];
  private telling = false;

  add(listener: Listener): () => void {
    // Wrapped, so that the same function subscribed twice is two subscriptions.
    const own: Listener = (record) => listener(record);
    this.listeners.add(own);
    return () => this.listeners.delete(own);
  }

  tell(records: readonly JournalRecord[]): void {
    if (this.listeners.size === 0) return;
    this.waiting.push(...records);
    if (this.telling) return;
    this.telling = true;
    try {
      for (let record = this.waiting.shift(); record; record = this.waiting.shift()) {
        for (const listener of this.listeners) this.tellOne(listener, record);
      }
    } finally {
      this.telling = false;
    }
  }

  clear(): void {
    this.listeners.clear();
    this.waiting.length = 0;
  }

  private tellOne(listener: Listener, record: JournalRecord): void {
    try {
      listener(record);
    } catch (error) {
      process.emitWarning(error instanceof Error ? error : new Error(String(error)));
    }
  }
}
