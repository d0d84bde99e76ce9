import type { z } from 'zod';
import type { Handlers } from '../contract/channel.ts';
import type { Contract, Requirement } from '../contract/contract.ts';
import type { Caller } from '../control/caller.ts';
import type { IdentityFiles } from './identity-files.ts';

/** A control plane that runs in this process. */
export interface RunningControl {
  handlers: Handlers<Contract, Caller>;
  /** Resolves when it can take commands. */
  ready: Promise<void>;
  stop(): Promise<void>;
}

export interface LabRoom {
  /** Brings the lab up; answers its status. Does nothing but answer when it is up already. */
  start(options: { home: string; spec?: string; signal?: AbortSignal }): Promise<unknown>;
  stop(options: { home: string }): Promise<void>;
  status(home: string): Promise<{ running: boolean }>;
  /** Runs a command on a host with this process's standard streams; answers its exit code. */
  exec(options: {
    home: string;
    host: string;
    command: readonly string[];
    signal: AbortSignal;
  }): Promise<number>;
  statusSchema: z.ZodType;
}

export interface ForwarderSettings {
  certificatePem?: string;
  keyPem?: string;
  pkcs12?: Buffer;
  password?: string;
  trustPem: string;
  accessPoints: { host: string; port: number }[];
  httpProxy?: { host: string; port: number };
  socksProxy?: { host: string; port: number };
  forwards: { localPort: number; service: string; port: number }[];
  way: 'overlay' | 'auto' | 'direct';
  /** Where the signed list of access points is kept. */
  stateFile?: string;
  /** The files that a renewed certificate is written back to. */
  renewed?: IdentityFiles;
  log: (line: string) => void;
}

export interface RunningForwarder {
  /** What the ready line says. */
  ready: Record<string, unknown>;
  /** What it is doing now and why, in one line. */
  status(): { line: string };
  close(): Promise<void>;
}

/** What the command line needs of other rooms, loaded only when it is needed. */
export interface CliRooms {
  startControl(options: { home: string; log: (line: string) => void }): Promise<RunningControl>;
  lab(): Promise<LabRoom>;
  startForwarder(settings: ForwarderSettings): Promise<RunningForwarder>;
  doctor(): Promise<Requirement[]>;
  drillReportSchema(): Promise<z.ZodType>;
}
