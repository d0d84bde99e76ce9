import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Handlers } from '../contract/channel.ts';
import type { Contract, Requirement } from '../contract/contract.ts';
import type { ConsoleInfo, JournalEvent } from '../contract/domain.ts';
import { applyChanges, type Change, emptyState } from '../contract/state.ts';
import { version } from '../contract/version.ts';
import { type Authority, createAuthority, openAuthority } from '../credentials/authority.ts';
import { authorityExists } from '../credentials/authority-files.ts';
import {
  decryptPrivateKeyPem,
  encryptedPrivateKeyPem,
  KEY_AT_REST_ROUNDS,
} from '../credentials/encrypted-key.ts';
import { drillKinds } from '../drills/drill-kinds.ts';
import { type Journal, openJournal } from '../journal/journal.ts';
import type { JournalRecord } from '../journal/record.ts';
import { systemClock } from '../runtime/clock.ts';
import { MoveError, toMoveError } from '../runtime/errors.ts';
import { secureRandom } from '../runtime/random.ts';
import { AttachedFleet } from './attached-fleet.ts';
import type { Caller } from './caller.ts';
import { Credentials, issuanceLogOf } from './credentials-control.ts';
import { readPassphrase } from './passphrase.ts';
import { Recorder } from './recorder.ts';
import { completePaths } from './service-paths.ts';
import { StateStore } from './state-store.ts';
import { waitForFleet } from './wait-for-fleet.ts';

export interface ControlOptions {
  home: string;
  log: (line: string) => void;
  /** Lists what this machine has and lacks; the command line provides it. */
  doctor: () => Promise<{ requirements: Requirement[] }>;
}

export interface RunningControl {
  handlers: Handlers<Contract, Caller>;
  /** Resolves when the fleet is attached and its services have been started. */
  ready: Promise<void>;
  stop(): Promise<void>;
}

/** Named anew when the state has got a part that older snapshots lack. */
const snapshotName = 'console-4';

/**
 * The control plane: one a state directory, unprivileged. It owns the journal and the authority, attaches
 * to the lab whose manifest lies in the state directory (also when that comes later), and may die and
 * return without the lab or any pod noticing (DESIGN.md, decision 6).
 */
export async function startControl(options: ControlOptions): Promise<RunningControl> {
  const { home, log } = options;
  mkdirSync(home, { recursive: true, mode: 0o700 });
  const passphrase = await readPassphrase(home, process.env);
  const journal = openJournal({
    path: join(home, 'journal.sqlite'),
    signingKey: await journalKey(home, passphrase),
  });
  const { state } = journal.project(reduce, emptyState(), { snapshot: snapshotName });
  const store = new StateStore(state);
  completePaths(store);
  const recorder = new Recorder(journal, store, systemClock);
  const info = (change: Partial<ConsoleInfo>) => {
    const before = store.state.console.console;
    const value: ConsoleInfo = {
      id: 'console',
      version,
      labName: null,
      phase: 'starting',
      phaseText: 'The control plane is starting.',
      halted: before?.halted ?? false,
      readOnly: false,
      startedAt: before?.startedAt ?? systemClock.now(),
      ...before,
      ...change,
    };
    store.change([{ op: 'upsert', collection: 'console', id: 'console', value }]);
  };
  info({
    version,
    phase: 'starting',
    phaseText: 'Looking for the lab.',
    startedAt: systemClock.now(),
    labName: null,
  });

  const directory = join(home, 'authority');
  const issuanceLog = issuanceLogOf(() => recorder);
  const authority = (await authorityExists(directory))
    ? await openAuthority({ directory, passphrase, log: issuanceLog })
    : await createAuthority({ directory, passphrase, log: issuanceLog });

  let fleet: AttachedFleet | null = null;
  const stopping = new AbortController();
  const attached = () => {
    if (fleet) return fleet;
    throw authority.organisation
      ? new MoveError(
          'NO_SHARE',
          'Nothing is shared with this organisation yet. Take up what the operator wrote with "organisation attach".',
        )
      : new MoveError('NO_LAB', 'No lab is up. Start one with "npm run -s move -- lab up".');
  };
  /** What overlay nodes, clients and bots do is their operator's to say. */
  const operated = () => {
    requireOperator(authority);
    return attached();
  };
  const credentials = new Credentials(
    authority,
    async () => (fleet ? fleet.tellRevoked() : 0),
    async () => (fleet ? fleet.tellOrganisations() : 0),
    { givable: (sites) => attached().givable(sites), give: (order) => attached().give(order) },
  );

  const ready = (async () => {
    const manifest = await waitForFleet(home, authority.organisation !== null, stopping.signal);
    info({
      labName: manifest.name,
      phaseText: manifest.isShare
        ? `Reaching the sites of ${authority.organisation?.name}.`
        : 'Reaching the hosts of the lab.',
    });
    const next = new AttachedFleet(
      {
        store,
        recorder,
        journal,
        clock: systemClock,
        random: secureRandom,
        log,
        authority,
        passphrase,
        home,
      },
      manifest,
    );
    fleet = next;
    await next.start();
    const silent = [
      ...Object.values(store.state.sites),
      ...Object.values(store.state.nodes),
      ...Object.values(store.state.stones),
    ].filter((host) => host.reach !== 'up' && host.holder === undefined);
    info(
      silent.length === 0
        ? { phase: 'ready', phaseText: 'All hosts answer.' }
        : {
            phase: 'degraded',
            phaseText: `Not every host answers: ${silent.map((host) => host.id).join(', ')}.`,
          },
    );
  })();
  ready.catch((thrown) => {
    if (stopping.signal.aborted) return;
    const error = toMoveError(thrown);
    log(`attaching to the lab failed: ${error.stack}`);
    info({ phase: 'degraded', phaseText: error.message });
  });

  const handlers: Handlers<Contract, Caller> = {
    'credential.issue': (input) => credentials.issue(input),
    'credential.sign': (input) => credentials.sign(input),
    'credential.list': (input) => credentials.list(input),
    'credential.revoke': (input) => credentials.revoke(input),
    'credential.trust': () => credentials.trust(),
    'organisation.admit': (input) => {
      requireOperator(authority);
      return credentials.admitOrganisation(input);
    },
    'organisation.list': () => credentials.listOrganisations(),
    'admission.show': () => operated().admissions.show(),
    'admission.set': (input, { caller }) => operated().admissions.set(input, caller.kind),
    'admission.addPerson': (input, { caller }) => operated().admissions.addPerson(input, caller.kind),
    'admission.removePerson': (input, { caller }) => operated().admissions.removePerson(input, caller.kind),
    'admission.visitors': () => operated().visitors.list(),
    'admission.revoke': (input, { caller }) => operated().visitors.revoke(input, caller.kind),
    'move.start': (input, { caller }) => ({
      move: attached().moves.start({ ...input, requestedBy: caller.kind, reason: 'asked for by hand' }),
    }),
    'move.wait': async (input, { signal }) => ({
      move: await attached().moves.wait(input.move, input.limitMs, signal),
    }),
    'move.continue': (input) => ({ move: attached().moves.proceed(input.move) }),
    'move.cancel': (input) => ({ move: attached().moves.cancel(input.move) }),
    'proposal.approve': (input, { caller }) => ({
      proposal: attached().proposals.approve(input.proposal, caller.kind),
    }),
    'proposal.decline': (input, { caller }) => ({
      proposal: attached().proposals.decline(input.proposal, caller.kind),
    }),
    'service.check': (input) => ({ file: attached().services.check(input.text, input.source) }),
    'service.add': async (input, { caller }) => ({
      service: await attached().services.add(input.text, input.source, caller.kind),
    }),
    'service.remove': async (input, { caller }) => {
      await attached().services.remove(input.service, caller.kind);
      return { service: input.service };
    },
    'service.preflight': (input, { caller }) =>
      attached().preflights.run(input.service, { rehearse: !input.inspectOnly, actor: caller.kind }),
    'spare.keep': async (input, { caller }) => ({
      spare: await attached().spares.keep(input, caller.kind),
    }),
    'spare.drop': async (input, { caller }) => {
      await attached().spares.drop(input.service, caller.kind);
      return { service: input.service };
    },
    'spare.list': () => ({ spares: attached().spares.list() }),
    'service.policy': (input, { caller }) => attached().policies.set(input, caller.kind),
    'service.capacity': (input, { caller }) => attached().policies.setCapacity(input, caller.kind),
    'service.path': (input, { caller }) => operated().paths.set(input, caller.kind),
    'service.paths': (input) => attached().paths.list(input),
    'decoy.show': (input) => attached().decoys.show(input.service),
    'drill.kinds': () => ({ kinds: drillKinds() }),
    'drill.start': (input) => ({ drill: operated().drills.start(input) }),
    'drill.wait': async (input, { signal }) => ({
      drill: await attached().drills.wait(input.drill, input.limitMs, signal),
    }),
    'flood.start': async (input) => ({ flood: await operated().floods.start(input) }),
    'emergency.stop': async (_input, { caller }) => {
      info({ halted: true });
      const withdrawn = fleet?.proposals.withdrawals(() => true, 'the emergency stop') ?? [];
      const movesTakenBack = fleet?.moves.takeAllBack() ?? 0;
      const [floodsStopped, drillsStopped] = await Promise.all([
        fleet?.floods.stopAll() ?? 0,
        fleet?.drills.stopAll('emergency stop') ?? 0,
      ]);
      recorder.record({
        kind: 'intent',
        type: 'emergency.stop',
        tone: 'attack',
        text: `Emergency stop by ${caller.kind}: ${floodsStopped} floods, ${drillsStopped} drills, ${movesTakenBack} moves.`,
        actor: caller.kind,
        changes: withdrawn,
      });
      return { floodsStopped, drillsStopped, movesTakenBack };
    },
    'emergency.release': (_input, { caller }) => {
      info({ halted: false });
      recorder.record({
        kind: 'intent',
        type: 'emergency.release',
        tone: 'decision',
        text: 'The emergency stop is released.',
        actor: caller.kind,
      });
      fleet?.response.reconsider();
      return {};
    },
    'ring.show': async () => ({ nodes: await operated().observer.showRing() }),
    'ring.verify': (_input, { signal }) => operated().observer.verifyRing(signal),
    'journal.read': (input) => {
      const records = journal.read({ after: input.after, limit: input.limit });
      const last = records.at(-1);
      return {
        events: records.map(eventOf),
        next: records.length === input.limit && last ? last.sequence : null,
      };
    },
    'journal.verify': async () => {
      const verification = await journal.verify();
      return { ok: verification.ok, checked: verification.checked, firstBad: verification.firstBad ?? null };
    },
    doctor: () => options.doctor(),
    state: (_input, { signal }, emit) => {
      signal.addEventListener('abort', store.listen(emit), { once: true });
    },
    telemetry: async (_input, { signal }, emit) => {
      await ready.catch(() => undefined);
      if (!fleet || signal.aborted) return;
      signal.addEventListener('abort', fleet.observer.listen(emit), { once: true });
    },
  };

  return {
    handlers,
    ready,
    async stop() {
      stopping.abort();
      info({ phase: 'stopping', phaseText: 'The control plane is stopping.' });
      await fleet?.stop();
      recorder.close();
      saveSnapshot(journal);
      authority.close();
      journal.close();
    },
  };
}

/** @throws MoveError `OPERATOR_ONLY` in the control plane of an organisation. */
function requireOperator({ organisation }: Pick<Authority, 'organisation'>): void {
  if (!organisation) return;
  throw new MoveError(
    'OPERATOR_ONLY',
    `The overlay's nodes, clients and drills are its operator's. ${organisation.name} has its own services, sites and certificates here; ask the operator for the rest.`,
  );
}

/** The pure reducer from journal records to the console's state. */
function reduce(state: ReturnType<typeof emptyState>, record: JournalRecord): ReturnType<typeof emptyState> {
  const event = eventOf(record);
  const changes = (record.data.changes ?? []) as unknown as Change[];
  return applyChanges(state, [
    ...changes,
    { op: 'upsert', collection: 'events', id: event.id, value: event },
  ]);
}

function eventOf(record: JournalRecord): JournalEvent {
  return {
    id: String(record.sequence),
    at: record.at,
    type: record.type,
    tone: (record.data.tone as JournalEvent['tone'] | undefined) ?? 'muted',
    text: String(record.data.text ?? record.type),
    subject: record.subject ?? null,
  };
}

function saveSnapshot(journal: Journal): void {
  // Only what the journal itself implies is kept; a replay from the start gives the same.
  const { sequence, state } = journal.project(reduce, emptyState(), { snapshot: snapshotName });
  if (sequence > 0) journal.saveSnapshot(snapshotName, sequence, state);
}

/** The key that signs the journal's head now and then; made at the first start, encrypted at rest. */
async function journalKey(home: string, passphrase: string): Promise<KeyObject> {
  const path = join(home, 'journal.key.pem');
  try {
    return decryptPrivateKeyPem(readFileSync(path, 'utf8'), passphrase);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause;
  }
  const { privateKey } = generateKeyPairSync('ed25519');
  writeFileSync(path, await encryptedPrivateKeyPem(privateKey, passphrase, KEY_AT_REST_ROUNDS), {
    mode: 0o600,
    flag: 'wx',
  });
  return privateKey;
}
