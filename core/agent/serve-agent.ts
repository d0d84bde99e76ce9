import { X509Certificate } from 'node:crypto';
import { chmod, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import {
  type AgentConfiguration,
  agentConfigurationSchema,
  agentContract,
} from '../contract/agent-contract.ts';
import { serveContract } from '../contract/channel.ts';
import { defaultServicePath } from '../contract/domain.ts';
import type { NodeList } from '../contract/node-list.ts';
import { version } from '../contract/version.ts';
import { authorise } from '../credentials/authorise.ts';
import { generateKeyAndRequest } from '../credentials/key-request.ts';
import { newerNodeList, verifyNodeList } from '../overlay/node-list.ts';
import { systemClock } from '../runtime/clock.ts';
import { DurableFile } from '../runtime/durable-file.ts';
import { MoveError, toMoveError } from '../runtime/errors.ts';
import type { LinkIdentity } from '../runtime/link/link-tls.ts';
import { jsonLinesPort } from '../runtime/message-ports/json-lines-port.ts';
import { type Controller, ControllerGate, newController } from './controller-gate.ts';
import { type AgentDirectories, makeDirectories } from './directories.ts';
import { EventHub } from './event-hub.ts';
import { startOverlayRole } from './overlay-role.ts';
import type { AgentHandlers, RoleContext, RunningRole } from './role.ts';
import { startSiteRole } from './site-role.ts';
import { startStoneRole } from './stone-role.ts';

/**
 * What the roles are made of. The rest changes under them as they run; so does the certificate, but not that of an
 * overlay node, whose place on the ring follows from it.
 */
function lasting(configuration: AgentConfiguration): object {
  const {
    revoked: _,
    paths: __,
    nodeList: ___,
    organisations: ____,
    certificatePem,
    ...rest
  } = configuration;
  return configuration.roles.overlay ? { ...rest, certificatePem } : rest;
}

/** What is answered to anybody: all else takes a control plane that has proven to be the one of this host. */
const open: ReadonlySet<string> = new Set(['agent.hello', 'agent.meet', 'agent.prove']);

/**
 * The agent of one host: composes the roles that its configuration names and answers the control
 * plane on a unix socket. It takes up its last configuration by itself, so that neither a restart of
 * the host nor the absence of a controller changes what it does.
 */
export class Agent {
  readonly #directories: AgentDirectories;
  readonly #events = new EventHub();
  readonly #log: (line: string) => void;
  readonly #startedAt = systemClock.now();
  readonly #file: DurableFile<AgentConfiguration | null>;
  #configuration: AgentConfiguration | null = null;
  #revoked: ReadonlySet<string> = new Set();
  #organisations: readonly X509Certificate[] = [];
  #recordTrust: readonly string[] = [];
  #keyPem = '';
  #identity: LinkIdentity | undefined;
  #roles: RunningRole[] = [];
  #changing: Promise<void> = Promise.resolve();
  readonly #gate: ControllerGate;
  readonly #sockets = new Set<Socket>();

  constructor(directories: AgentDirectories, log: (line: string) => void) {
    this.#directories = directories;
    this.#log = log;
    this.#file = new DurableFile<AgentConfiguration | null>(
      join(directories.state, 'agent.json'),
      agentConfigurationSchema.nullable(),
    );
    this.#gate = new ControllerGate({
      stateDirectory: directories.state,
      host: () => this.#configuration?.host ?? null,
      shown: () => this.#identity ?? null,
      refused: ({ code, message }) =>
        this.#events.tell({
          type: 'refused',
          at: systemClock.now(),
          code,
          message,
          who: 'a control plane that is not the one of this host',
        }),
    });
  }

  /** Starts listening, then takes up the last configuration. Returns what stops it again. */
  async start(): Promise<() => Promise<void>> {
    await makeDirectories(this.#directories);
    const server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
      socket.on('error', () => undefined);
      serveContract(
        agentContract,
        this.#handlers(),
        newController(),
        jsonLinesPort(socket),
        (thrown, method) => {
          const error = toMoveError(thrown);
          this.#log(`${method}: ${error.code} ${error.stack ?? error.message}`);
          return error.toBody();
        },
      );
    });
    const previous = await this.#file.read(null);
    await this.#gate.restore(previous?.trustPem);
    if (previous)
      await this.#apply(previous).catch((thrown) =>
        this.#log(`cannot take up the last configuration: ${toMoveError(thrown).stack}`),
      );
    const path = join(this.#directories.run, 'agent.sock');
    await rm(path, { force: true });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(path, resolve);
    });
    await chmod(path, 0o600);
    return async () => {
      for (const socket of this.#sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
      await this.#stopRoles();
      await rm(path, { force: true });
    };
  }

  #handlers(): AgentHandlers {
    const own: Pick<
      AgentHandlers,
      | 'agent.hello'
      | 'agent.meet'
      | 'agent.prove'
      | 'agent.handOver'
      | 'agent.request'
      | 'agent.configure'
      | 'agent.revoke'
      | 'agent.organisations'
      | 'overlay.paths'
      | 'agent.nodes'
      | 'events'
    > = {
      'agent.hello': () => ({
        host: this.#configuration?.host ?? null,
        version,
        startedAt: this.#startedAt,
        configured: this.#roles.length > 0,
      }),
      'agent.meet': (asked, { caller }) => this.#gate.meet(caller, asked),
      'agent.prove': async (proof, { caller }) => {
        await this.#gate.prove(caller, proof);
        return {};
      },
      'agent.handOver': async ({ authorityPem }) => {
        const next = this.#changing.then(() => this.#handOver(authorityPem));
        this.#changing = next.catch(() => undefined);
        await next;
        return {};
      },
      'agent.request': async ({ name }) => ({ requestPem: await this.#request(name) }),
      'agent.configure': async (configuration) => {
        const next = this.#changing.then(() => this.#reconfigure(configuration));
        this.#changing = next.catch(() => undefined);
        await next;
        return {};
      },
      'agent.revoke': async ({ serials }) => {
        if (this.#configuration) {
          this.#configuration = { ...this.#configuration, revoked: serials };
          await this.#file.write(this.#configuration);
        }
        this.#revoked = new Set(serials);
        return { linksCut: this.#roles.reduce((cut, role) => cut + role.recheck(), 0) };
      },
      'agent.organisations': async ({ organisations }) => {
        if (!this.#configuration)
          throw new MoveError('AGENT_UNCONFIGURED', 'This agent has no configuration yet; enrol it first.');
        const configuration = { ...this.#configuration, organisations };
        this.#takeOrganisations(configuration);
        this.#configuration = configuration;
        await this.#file.write(configuration);
        return { linksCut: this.#roles.reduce((cut, role) => cut + role.recheck(), 0) };
      },
      'overlay.paths': async ({ paths }) => {
        if (!this.#configuration?.roles.overlay)
          throw new MoveError('ROLE_ABSENT', 'This host is no overlay node: it has no paths.');
        this.#configuration = { ...this.#configuration, paths };
        await this.#file.write(this.#configuration);
        return {};
      },
      'agent.nodes': ({ list }) => {
        const next = this.#changing.then(() => this.#takeNodes(list));
        this.#changing = next.then(
          () => undefined,
          () => undefined,
        );
        return next;
      },
      events: (_input, { signal }, emit) => {
        const stop = this.#events.listen(emit);
        signal.addEventListener('abort', stop, { once: true });
      },
    };
    const absent = (name: string) => () => {
      throw new MoveError('ROLE_ABSENT', `This host does not have the role that answers ${name}.`);
    };
    const fallback = Object.fromEntries(Object.keys(agentContract).map((name) => [name, absent(name)]));
    const byName = {
      get: (_target: object, name: string) => {
        type Handler = (input: unknown, context: { caller: Controller }, emit: unknown) => unknown;
        const handler = (own[name as keyof typeof own] ??
          this.#roles.map((role) => role.handlers[name as keyof AgentHandlers]).find((known) => known) ??
          fallback[name]) as Handler;
        if (open.has(name)) return handler;
        const guarded: Handler = (input, context, emit) => {
          this.#gate.check(context.caller);
          return handler(input, context, emit);
        };
        return guarded;
      },
    };
    // Looked up at each call: roles come and go with the configuration while connections stay.
    return new Proxy({}, byName) as AgentHandlers;
  }

  /** Forgets what it is and obeys somebody else; whoever is connected has to prove himself anew. */
  async #handOver(authorityPem: string): Promise<void> {
    for (const role of this.#roles) {
      const why = await role.keeps?.();
      if (why)
        throw new MoveError('SITE_BUSY', `This host is not given away: ${why}. Move or remove that first.`);
    }
    await this.#stopRoles();
    const { state } = this.#directories;
    for (const name of ['key.pem', 'request.pem', 'living.json', 'lifelines.json', 'decoys'])
      await rm(join(state, name), { recursive: true, force: true });
    await this.#file.write(null);
    this.#configuration = null;
    this.#identity = undefined;
    this.#keyPem = '';
    await this.#gate.obey(authorityPem);
    // Whoever listens still is the one who gave it away; the answer to him goes out first.
    setImmediate(() => {
      for (const socket of this.#sockets) socket.end();
    });
  }

  async #request(name: string): Promise<string> {
    const requestPath = join(this.#directories.state, 'request.pem');
    const keyPath = join(this.#directories.state, 'key.pem');
    const existing = await readFile(requestPath, 'utf8').catch(() => null);
    if (existing) return existing;
    const { privateKeyPem, requestPem } = await generateKeyAndRequest(name);
    await writeFile(keyPath, privateKeyPem, { mode: 0o600 });
    await writeFile(requestPath, requestPem, { mode: 0o600 });
    return requestPem;
  }

  async #takeNodes(candidate: NodeList): Promise<{ version: number }> {
    if (!this.#configuration)
      throw new MoveError('AGENT_UNCONFIGURED', 'This agent has no configuration yet; enrol it first.');
    const before = this.#configuration.nodeList?.version;
    const nodeList = this.#newest(candidate, this.#configuration.trustPem)!;
    this.#configuration = { ...this.#configuration, nodeList };
    await this.#file.write(this.#configuration);
    if (nodeList.version !== before) for (const role of this.#roles) role.listed?.();
    return { version: nodeList.version };
  }

  /** The newer of the list that is known and a candidate, which must be the authority's. */
  #newest(candidate: NodeList | undefined, trustPem: string): NodeList | undefined {
    const held = this.#configuration;
    // Lists of another authority count for nothing.
    const known = held?.trustPem === trustPem ? held.nodeList : undefined;
    if (!candidate) return known;
    return newerNodeList(known, verifyNodeList(candidate, { trustPem: [trustPem], now: systemClock.now() }));
  }

  async #reconfigure(given: AgentConfiguration): Promise<void> {
    const { nodeList: candidate, ...rest } = given;
    let nodeList: NodeList | undefined;
    try {
      nodeList = this.#newest(candidate, given.trustPem);
    } catch (thrown) {
      // A bad list is no reason to stay without a role; the next one comes by itself.
      this.#log(`the list of overlay nodes is not taken: ${toMoveError(thrown).message}`);
      nodeList = this.#newest(undefined, given.trustPem);
    }
    const configuration: AgentConfiguration = nodeList ? { ...rest, nodeList } : rest;
    const same =
      this.#roles.length > 0 &&
      this.#configuration !== null &&
      JSON.stringify(lasting(this.#configuration)) === JSON.stringify(lasting(configuration));
    await this.#file.write(configuration);
    if (same) {
      this.#configuration = configuration;
      this.#takeCertificate(configuration);
      this.#revoked = new Set(configuration.revoked);
      this.#takeOrganisations(configuration);
      for (const role of this.#roles) role.recheck();
      return;
    }
    await this.#stopRoles();
    await this.#apply(configuration);
  }

  async #apply(configuration: AgentConfiguration): Promise<void> {
    this.#keyPem = await readFile(join(this.#directories.state, 'key.pem'), 'utf8');
    this.#configuration = configuration;
    this.#revoked = new Set(configuration.revoked);
    const trust = [new X509Certificate(configuration.trustPem)];
    this.#takeOrganisations(configuration);
    const identity = this.#takeCertificate(configuration);
    const context: RoleContext = {
      host: configuration.host,
      directories: this.#directories,
      identity: () => this.#identity ?? identity,
      trustPem: identity.trustPem,
      recordTrust: () => this.#recordTrust,
      verifyPeer: (certificate, at) => {
        authorise(certificate, {
          trust,
          revoked: this.#revoked,
          clock: systemClock,
          constrained: at?.constrained,
          organisations: this.#organisations,
          ...(at?.remoteAddress === undefined ? {} : { peerAddress: at.remoteAddress }),
          ...(at?.accessPoint === undefined ? {} : { accessPoint: at.accessPoint }),
        });
      },
      isRevoked: (serial) => this.#revoked.has(serial),
      pathOf: (service) => this.#configuration?.paths[service] ?? defaultServicePath,
      nodeList: () => this.#configuration?.nodeList,
      events: this.#events,
      refused: (error, who) =>
        this.#events.tell({
          type: 'refused',
          at: systemClock.now(),
          code: error.code,
          message: error.message,
          who,
        }),
      log: this.#log,
    };
    const { overlay, site, stone } = configuration.roles;
    if (stone) this.#roles.push(await startStoneRole(stone, context));
    if (overlay) this.#roles.push(await startOverlayRole(overlay, context));
    if (site) this.#roles.push(await startSiteRole(site, context));
  }

  /** New links are made with it, and new records signed. */
  #takeCertificate({ certificatePem, trustPem }: AgentConfiguration): LinkIdentity {
    this.#identity = { certificatePem, keyPem: this.#keyPem, trustPem: [trustPem] };
    return this.#identity;
  }

  #takeOrganisations({ trustPem, organisations = [] }: AgentConfiguration): void {
    this.#organisations = organisations.map((pem) => new X509Certificate(pem));
    // One array until the next change: what was proven by it is remembered with it.
    this.#recordTrust = [trustPem, ...organisations];
  }

  async #stopRoles(): Promise<void> {
    const roles = this.#roles;
    this.#roles = [];
    for (const role of roles) await role.stop();
  }
}
