import type { X509Certificate } from 'node:crypto';
import type { AgentContract } from '../contract/agent-contract.ts';
import type { Handlers } from '../contract/channel.ts';
import type { ServicePath } from '../contract/domain.ts';
import type { NodeList } from '../contract/node-list.ts';
import type { MoveError } from '../runtime/errors.ts';
import type { LinkIdentity } from '../runtime/link/link-tls.ts';
import type { Controller } from './controller-gate.ts';
import type { AgentDirectories } from './directories.ts';
import type { EventHub } from './event-hub.ts';

/** Where a peer is met, for certificates that are good at one place only. */
export interface PeerPlace {
  remoteAddress?: string | undefined;
  /** This host's own constrained authority, where it is an access point. */
  constrained?: X509Certificate | undefined;
  /** The access point that the peer enters by. */
  accessPoint?: string;
}

/** What every role of an agent is given. */
export interface RoleContext {
  host: string;
  directories: AgentDirectories;
  identity: () => LinkIdentity;
  /** The authority's certificate, for records that carry their own proof. */
  trustPem: readonly string[];
  /** Who may have signed what a location record carries: the authority, and the organisations that share the overlay. */
  recordTrust: () => readonly string[];
  /** Judges a peer's certificate against the authority and what has been revoked. */
  verifyPeer: (certificate: X509Certificate, at?: PeerPlace) => void;
  /** Whether a serial number (lower-case hexadecimal) has been revoked. */
  isRevoked: (serial: string) => boolean;
  /** How sessions of a service travel through the overlay now. */
  pathOf: (service: string) => ServicePath;
  /** The newest signed list of overlay nodes, verified; undefined before the control plane gave one. */
  nodeList: () => NodeList | undefined;
  events: EventHub;
  /** Tells that somebody was turned away, for the journal. */
  refused: (error: MoveError, who: string) => void;
  log: (line: string) => void;
}

export type AgentHandlers = Handlers<AgentContract, Controller>;

/** A role that runs on this host. */
export interface RunningRole {
  /** What it answers. */
  handlers: Partial<AgentHandlers>;
  /** Judges all live links again after a revocation; returns how many were cut. */
  recheck(): number;
  /** Why this host cannot be given to another control plane now; null when it can. */
  keeps?(): Promise<string | null>;
  /** There is a newer list of overlay nodes. */
  listed?(): void;
  stop(): Promise<void>;
}
