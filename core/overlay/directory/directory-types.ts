import type { Peer, RingCaller, RingTransport } from '../../ring/messages.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { LocationRecord } from '../location-record.ts';
import type { EpochMemory, StoreOutcome } from './record-store.ts';

/** Who calls, as the link's certificate says. */
export interface DirectoryCaller {
  role: string;
  name: string;
  services: readonly string[] | 'any';
  serial: string;
  /** `ringIdentifier` of the certificate; only overlay nodes have one. */
  identifier?: RingCaller['identifier'];
}

/** What the directory needs of the ring; `RingNode` has it. */
export interface DirectoryRing {
  status(): Peer & { predecessor: Peer | null; successors: readonly Peer[]; member: boolean };
  successorsOf(key: string, count: number): Promise<Peer[]>;
  onChange(listener: () => void): () => void;
}

/**
 * Checks everything that a record claims (form, dates, signatures, the service's delegation of this epoch to
 * this site) and throws when it is wrong. `announcer` is given when the record came from its site directly.
 */
export type VerifyRecord = (candidate: unknown, announcer: DirectoryCaller | null) => LocationRecord;

/** What the directory tells the journal. */
export type DirectoryEvent =
  | {
      type: 'location.refused';
      at: number;
      code: string;
      why: string;
      caller: string;
      role: string;
      service: string | null;
      epoch: number | null;
    }
  | { type: 'location.changed'; at: number; service: string; site: string; epoch: number };

export interface DirectoryOptions {
  ring: DirectoryRing;
  transport: RingTransport;
  clock: Clock;
  verify: VerifyRecord;
  onEvent: (event: DirectoryEvent) => void;
  /** Where epochs outlive this process; without it they are in its memory only. */
  epochs?: EpochMemory;
  /** How many successors of the directory node hold copies. 2. */
  replicas?: number;
  /** How much longer the other holders may take once one has answered with a record. 100 ms. */
  graceMs?: number;
  /** How long any question to a holder may take. 1,000 ms. */
  deadlineMs?: number;
}

/** The answer to `directory.announce`. */
export interface AnnounceAnswer {
  outcome: StoreOutcome;
  /** Names of the nodes that hold the record now. */
  holders: string[];
}
