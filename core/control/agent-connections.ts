import type { AgentContract, AgentEvent } from '../contract/agent-contract.ts';
import type { Client } from '../contract/channel.ts';
import type { Authority } from '../credentials/authority.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { shellQuote } from '../fleet/host-connection.ts';
import { MoveError, toMoveError } from '../runtime/errors.ts';
import { agentSocket, dialAgent, proveController } from './prove-controller.ts';

/* Without room to begin with, V8 collects a small heap over and over while a state passes through: a tenth of a
 * second of both processors for each move. Young objects fit into the processor's cache. */
const agentStart =
  'mkdir -p /run/move /var/lib/move && ' +
  'setsid -f /opt/move/bin/node --initial-old-space-size=64 --max-semi-space-size=2 /opt/move/dist/agent.mjs serve ' +
  '</dev/null >>/var/lib/move/agent.log 2>&1';
const startDeadlineMs = 15_000;
const retryFromMs = 200;
const retryToMs = 3_000;

/**
 * A kept connection to the agent of every host: starts an agent where none answers, listens to its
 * events, and dials again for as long as it is wanted. The agent itself lives on without it.
 */
export class AgentConnections {
  readonly #fleet: Fleet;
  readonly #authority: Pick<Authority, 'certificate' | 'signStatement'>;
  readonly #log: (line: string) => void;
  readonly #clients = new Map<string, Promise<Client<AgentContract>>>();
  readonly #wanted = new Set<string>();
  readonly #timers = new Map<string, NodeJS.Timeout>();
  readonly #delays = new Map<string, number>();
  #onUp: (host: string, client: Client<AgentContract>) => Promise<void> = async () => undefined;
  #onDown: (host: string) => void = () => undefined;
  #onEvent: (host: string, event: AgentEvent) => void = () => undefined;
  #closed = false;

  constructor(
    fleet: Fleet,
    authority: Pick<Authority, 'certificate' | 'signStatement'>,
    log: (line: string) => void,
  ) {
    this.#fleet = fleet;
    this.#authority = authority;
    this.#log = log;
  }

  /** Sets what happens when an agent answers (before anyone else gets it), goes away, or tells something. */
  on(listeners: {
    up: (host: string, client: Client<AgentContract>) => Promise<void>;
    down: (host: string) => void;
    event: (host: string, event: AgentEvent) => void;
  }): void {
    this.#onUp = listeners.up;
    this.#onDown = listeners.down;
    this.#onEvent = listeners.event;
  }

  /** Keeps a connection to these hosts from now on. */
  keep(hosts: readonly string[]): void {
    for (const host of hosts) {
      this.#wanted.add(host);
      void this.agent(host).catch(() => undefined);
    }
  }

  /** The client of a host's agent. @throws MoveError `AGENT_UNREACHABLE`. */
  agent(host: string): Promise<Client<AgentContract>> {
    const existing = this.#clients.get(host);
    if (existing) return existing;
    if (this.#closed)
      return Promise.reject(new MoveError('CANCELLED', 'The connections to the agents are closed.'));
    clearTimeout(this.#timers.get(host));
    const dialling = this.#dial(host);
    this.#clients.set(host, dialling);
    dialling.then(
      (client) => {
        this.#delays.delete(host);
        void client.closed.then(() => this.#lost(host, dialling));
      },
      (thrown) => {
        this.#log(`agent on ${host}: ${toMoveError(thrown).message}`);
        this.#lost(host, dialling);
      },
    );
    return dialling;
  }

  /** Ends the connection to a host that is not wanted any more, and does not dial again. */
  forget(host: string): void {
    this.#wanted.delete(host);
    clearTimeout(this.#timers.get(host));
    const known = this.#clients.get(host);
    this.#clients.delete(host);
    void known?.then(
      (client) => client.close(),
      () => undefined,
    );
  }

  /** Ends all connections; the agents go on. One that is still being made is closed when it is there. */
  close(): void {
    this.#closed = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    const open = [...this.#clients.values()];
    this.#clients.clear();
    for (const dialling of open)
      dialling.then(
        (client) => client.close(),
        () => undefined,
      );
  }

  #lost(host: string, dialling: Promise<Client<AgentContract>>): void {
    if (this.#clients.get(host) !== dialling) return;
    this.#clients.delete(host);
    if (this.#closed) return;
    this.#onDown(host);
    if (!this.#wanted.has(host)) return;
    const delay = this.#delays.get(host) ?? retryFromMs;
    this.#delays.set(host, Math.min(delay * 2, retryToMs));
    this.#timers.set(
      host,
      setTimeout(() => void this.agent(host).catch(() => undefined), delay),
    );
  }

  async #dial(host: string): Promise<Client<AgentContract>> {
    try {
      const connection = await this.#fleet.connection(host);
      const open = () => dialAgent(this.#fleet, host);
      let client: Client<AgentContract>;
      try {
        client = await open();
      } catch (thrown) {
        if (toMoveError(thrown).code !== 'CHANNEL_REFUSED') throw thrown;
        await connection.run(
          // A socket that a killed agent left behind would look as if the new one listened already.
          `rm -f ${shellQuote(agentSocket)}; ${agentStart}; for i in $(seq 300); do [ -S ${shellQuote(agentSocket)} ] && exit 0; sleep 0.05; done; exit 1`,
          {
            deadlineMs: startDeadlineMs,
          },
        );
        client = await open();
      }
      // A connection that is found dead takes along what went over it, which may never hear of it otherwise.
      void connection.closed.then(() => client.close());
      try {
        await proveController(host, client, this.#authority);
        await this.#onUp(host, client);
      } catch (thrown) {
        client.close();
        throw thrown;
      }
      client.listen('events', {}, (event) => this.#onEvent(host, event));
      return client;
    } catch (thrown) {
      const error = toMoveError(thrown);
      throw new MoveError(
        'AGENT_UNREACHABLE',
        `The agent on ${host} cannot be reached: ${error.message}`,
        {
          host,
          code: error.code,
        },
        thrown,
      );
    }
  }
}
