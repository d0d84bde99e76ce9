import type { MessagePort } from '../../core/contract/channel.ts';
import {
  type ClientMessage,
  type Handlers,
  RemoteError,
  type ServerMessage,
  serveContract,
} from '../../core/contract/channel.ts';
import { type Contract, contract } from '../../core/contract/contract.ts';
import type { ErrorBody } from '../../core/contract/error-body.ts';
import { pathChoice, pathChoices } from '../../core/contract/path-secrecy.ts';
import { defaultResponse } from '../../core/contract/response-settings.ts';
import { applyChanges, type Change, type ConsoleState } from '../../core/contract/state.ts';
import type { Telemetry } from '../../core/contract/telemetry.ts';
import { admissionHandlers } from './admission-double.ts';
import { addEvent, makeMove, makePreflight, makeScene, type SceneName } from './scenes.ts';

type Emit = (message: never) => void;

/** One call that the window made. */
export interface RecordedCall {
  method: string;
  input: unknown;
}

/**
 * A console that acts by script and speaks the real protocol: the window's tests drive it through the same
 * `serveContract` that core uses, so that inputs are checked by the real schemas.
 */
export class ContractDouble {
  readonly calls: RecordedCall[] = [];
  /** Faults to answer with instead of acting, by method. */
  readonly faults = new Map<string, ErrorBody>();
  state: ConsoleState;
  readonly #admission = admissionHandlers({
    state: () => this.state,
    apply: (...changes) => this.apply(...changes),
    record: (method, input) => this.#record(method, input),
    event: (type, text) => this.#event('decision', type, text),
    faultOf: (method) => {
      const fault = this.faults.get(method);
      return fault ? new RemoteError(fault) : null;
    },
  });
  #revision = 1;
  #stateListeners = new Set<(message: { kind: 'delta'; revision: number; changes: Change[] }) => void>();

  constructor(scene: SceneName) {
    this.state = makeScene(scene, Date.now());
  }

  /** Changes the state and tells every window. */
  apply(...changes: Change[]): void {
    this.state = applyChanges(this.state, changes);
    this.#revision += 1;
    for (const listener of this.#stateListeners)
      listener({ kind: 'delta', revision: this.#revision, changes });
  }

  serve(port: MessagePort<ServerMessage, ClientMessage>): void {
    serveContract<Contract, null>(contract, this.#handlers(), null, port, (thrown) =>
      thrown instanceof RemoteError
        ? { code: thrown.code, message: thrown.message }
        : { code: 'INTERNAL', message: String(thrown) },
    );
  }

  #record(method: string, input: unknown): void {
    this.calls.push({ method, input });
    const fault = this.faults.get(method);
    if (fault) throw new RemoteError(fault);
  }

  #event(tone: 'plain' | 'good' | 'attack' | 'decision', type: string, text: string): void {
    const event = addEvent({ events: { ...this.state.events } }, Date.now(), tone, type, text);
    this.apply({ op: 'upsert', collection: 'events', id: event.id, value: event });
  }

  #decide(id: string, state: 'approved' | 'declined') {
    const proposal = this.state.proposals[id];
    if (!proposal) throw new RemoteError({ code: 'NOT_FOUND', message: `There is no proposal ${id}.` });
    const value = { ...proposal, state, decidedBy: 'administrator', decidedAt: Date.now() };
    this.apply({ op: 'upsert', collection: 'proposals', id, value });
    this.#event('decision', `proposal.${state}`, `${state}: move ${proposal.service}`);
    return { proposal: value };
  }

  #handlers(): Handlers<Contract, null> {
    const pem = (kind: string) => `-----BEGIN ${kind}-----\nZG91Ymxl\n-----END ${kind}-----\n`;
    return {
      ...this.#admission,
      'credential.issue': (input) => {
        this.#record('credential.issue', { ...input, password: '(given)' });
        const credential = {
          ...Object.values(this.state.credentials)[0]!,
          id: (Object.keys(this.state.credentials).length + 0x9900).toString(16),
          name: input.name,
          services: input.services,
          notBefore: Date.now(),
          notAfter: Date.now() + input.days * 86_400_000,
        };
        this.apply({ op: 'upsert', collection: 'credentials', id: credential.id, value: credential });
        return {
          credential,
          certificatePem: pem('CERTIFICATE'),
          keyPem: pem('PRIVATE KEY'),
          trustPem: pem('CERTIFICATE'),
          pkcs12Base64: 'ZG91Ymxl',
        };
      },
      'credential.list': (input) => {
        this.#record('credential.list', input);
        return { credentials: Object.values(this.state.credentials) };
      },
      'credential.revoke': (input) => {
        this.#record('credential.revoke', input);
        const credential = {
          ...this.state.credentials[input.serial]!,
          revokedAt: Date.now(),
          reason: input.reason,
        };
        this.apply({ op: 'upsert', collection: 'credentials', id: input.serial, value: credential });
        return { credential, accessPointsTold: 8, toldWithinMs: 41 };
      },
      'credential.trust': (input) => {
        this.#record('credential.trust', input);
        return { trustPem: pem('CERTIFICATE'), revocationListPem: pem('X509 CRL') };
      },
      'move.start': (input) => {
        this.#record('move.start', input);
        const service = this.state.services[input.service]!;
        const move = makeMove('move-9', Date.now(), 0, { from: service.site, to: input.to ?? 'c1' });
        this.apply(
          { op: 'upsert', collection: 'moves', id: move.id, value: move },
          { op: 'patch', collection: 'services', id: service.id, value: { state: 'moving' } },
        );
        return { move };
      },
      'move.wait': (input) => ({ move: this.state.moves[input.move]! }),
      'move.continue': (input) => {
        this.#record('move.continue', input);
        this.apply({
          op: 'patch',
          collection: 'moves',
          id: input.move,
          value: { state: 'running', pausedBefore: null },
        });
        return { move: this.state.moves[input.move]! };
      },
      'move.cancel': (input) => {
        this.#record('move.cancel', input);
        this.apply({
          op: 'patch',
          collection: 'moves',
          id: input.move,
          value: { state: 'rolled-back', endedAt: Date.now() },
        });
        return { move: this.state.moves[input.move]! };
      },
      'proposal.approve': (input) => {
        this.#record('proposal.approve', input);
        return this.#decide(input.proposal, 'approved');
      },
      'proposal.decline': (input) => {
        this.#record('proposal.decline', input);
        return this.#decide(input.proposal, 'declined');
      },
      'service.preflight': (input) => {
        this.#record('service.preflight', input);
        const value = makePreflight(input.service, this.state.services[input.service]!.site, Date.now());
        this.apply({ op: 'upsert', collection: 'preflights', id: value.id, value });
        return { preflight: value, checks: [] };
      },
      'service.policy': (input) => {
        this.#record('service.policy', input);
        const { policy: before, response: settings = defaultResponse } = this.state.services[input.service]!;
        const policy = input.policy ?? before;
        const response = {
          ...settings,
          ...(input.home === undefined ? {} : { home: input.home }),
          ...(input.deadline === undefined ? {} : { deadlineSeconds: input.deadline || null }),
          ...(input.atDeadline === undefined ? {} : { atDeadline: input.atDeadline }),
          ...(input.homeQuiet === undefined ? {} : { homeQuietSeconds: input.homeQuiet }),
          ...(input.decoy === undefined ? {} : { decoy: input.decoy === 'on' }),
        };
        this.apply({ op: 'patch', collection: 'services', id: input.service, value: { policy, response } });
        return { service: input.service, policy, response };
      },
      'service.path': ({ service, policy, nearest }) => {
        this.#record('service.path', { service, policy, nearest });
        const path = { policy, nearest };
        this.apply({ op: 'patch', collection: 'services', id: service, value: { path } });
        const nodes = Object.keys(this.state.nodes).length;
        return {
          service,
          path,
          accessPointsTold: nodes,
          toldWithinMs: 23,
          secrecy: pathChoice(path, nodes),
        };
      },
      'service.paths': (input) => {
        this.#record('service.paths', input);
        const { path, route } = this.state.services[input.service]!;
        const nodes = input.nodes ?? Object.keys(this.state.nodes).length;
        return { service: input.service, path, route, nodes, choices: pathChoices(path, nodes) };
      },
      'drill.start': (input) => {
        this.#record('drill.start', input);
        const drill = {
          id: 'drill-9',
          kind: input.kind,
          state: 'quiet' as const,
          site: 'b1',
          broughtHomeFrom: 'a2',
          startedAt: Date.now(),
          floodStartedAt: null,
          floodEndsAt: null,
          endedAt: null,
          verdict: null,
          report: null,
          error: null,
        };
        this.apply({ op: 'upsert', collection: 'drills', id: drill.id, value: drill });
        return { drill };
      },
      'drill.wait': (input) => ({ drill: this.state.drills[input.drill]! }),
      'flood.start': (input) => {
        this.#record('flood.start', input);
        const value = {
          id: 'flood-9',
          site: 'b1',
          bots: ['bot-1', 'bot-2', 'bot-3'],
          offeredMbit: 61,
          startedAt: Date.now(),
          endsAt: Date.now() + input.seconds * 1_000,
          state: 'running' as const,
        };
        this.apply({ op: 'upsert', collection: 'floods', id: value.id, value });
        return { flood: value.id };
      },
      'emergency.stop': (input) => {
        this.#record('emergency.stop', input);
        const running = Object.values(this.state.floods).filter((flood) => flood.state === 'running');
        this.apply(
          { op: 'patch', collection: 'console', id: 'console', value: { halted: true } },
          ...running.map(
            (flood): Change => ({
              op: 'patch',
              collection: 'floods',
              id: flood.id,
              value: { state: 'over' },
            }),
          ),
        );
        return { floodsStopped: running.length, drillsStopped: 0, movesTakenBack: 0 };
      },
      'emergency.release': (input) => {
        this.#record('emergency.release', input);
        this.apply({ op: 'patch', collection: 'console', id: 'console', value: { halted: false } });
        return {};
      },
      'ring.verify': (input) => {
        this.#record('ring.verify', input);
        const { holds, culprit, rule } = this.state.ring.ring!;
        return {
          ok: holds === true,
          members: Object.keys(this.state.nodes),
          absent: [],
          silent: [],
          successorListLength: 4,
          readings: 1,
          violations: holds ? [] : [{ rule: 'ordered-ring', culprit: culprit ?? '', sentence: rule ?? '' }],
        };
      },
      'journal.read': (input) => {
        this.#record('journal.read', input);
        return { events: [], next: null };
      },
      'journal.verify': (input) => {
        this.#record('journal.verify', input);
        return { ok: true, checked: Object.keys(this.state.events).length, firstBad: null };
      },
      doctor: () => ({ requirements: [] }),
      state: (_input, { signal }, emit) => {
        (emit as Emit)({ kind: 'snapshot', revision: this.#revision, state: this.state } as never);
        const listener = (message: unknown) => (emit as Emit)(message as never);
        this.#stateListeners.add(listener);
        signal.addEventListener('abort', () => this.#stateListeners.delete(listener), { once: true });
      },
      telemetry: (_input, { signal }, emit) => {
        if (Object.keys(this.state.services).length === 0) return;
        const now = Date.now();
        for (let at = now - 119_500; at <= now; at += 500) emit(this.#telemetry(at, now));
        const timer = setInterval(() => emit(this.#telemetry(Date.now(), Date.now())), 500);
        signal.addEventListener('abort', () => clearInterval(timer), { once: true });
      },
    };
  }

  /** Figures as a probe would see them: calm, then (in an attack) the direct way drowns. */
  #telemetry(at: number, now: number): Telemetry {
    const wave = Math.sin(at / 1_700) + Math.sin(at / 611) * 0.6;
    const attacked = Object.values(this.state.attacks).some((attack) => attack.state === 'active');
    const scale = Math.sqrt(Object.keys(this.state.sites).length / 6);
    const late = attacked && now - at < 24_000;
    const moved = late && this.state.services['shop.example']?.site !== 'b1';
    const recovering = moved && now - at < 19_000;
    const overlayP50 = (late && !recovering ? 240 : 13) * scale + wave;
    const directP50 = late ? 490 + wave * 40 : 11 + wave * 0.8;
    const way = (p50: number, failures: number) => ({
      service: 'shop.example',
      count: failures > 0 ? 22 : 50,
      failures,
      waiting: failures > 0 ? 12 : 0,
      p50Ms: p50,
      p95Ms: p50 * 1.35 + 1.5,
      maximumMs: p50 * 2,
    });
    return {
      at,
      latency: [
        { ...way(overlayP50, 0), path: 'overlay' },
        { ...way(directP50, late && Math.floor(at / 500) % 5 === 0 ? 7 : 0), path: 'direct' },
      ],
      links: Object.values(this.state.sites).map((site) => ({
        host: site.id,
        link: 'primary',
        inMbit: site.primaryInMbit,
        outMbit: site.primaryOutMbit,
      })),
    };
  }
}
