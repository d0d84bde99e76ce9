import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { allCommands } from '../../../core/cli/commands/all-commands.ts';
import { schemaSources } from '../../../core/cli/commands/schema-command.ts';
import { readPemFiles, replaceIdentityFiles } from '../../../core/cli/identity-files.ts';
import { readPkcs12 } from '../../../core/cli/read-pkcs12.ts';
import { contract } from '../../../core/contract/contract.ts';
import type { Drill, Move, Service } from '../../../core/contract/domain.ts';
import { type ConsoleState, emptyState } from '../../../core/contract/state.ts';
import { lockHome } from '../../../core/control/home-lock.ts';
import { MoveError } from '../../../core/runtime/errors.ts';
import { createTestAuthority } from '../../support/authority.ts';
import { MoveHarness } from './move-harness.ts';

let move: MoveHarness;
beforeEach(() => {
  move = new MoveHarness();
});
afterEach(() => move.clean());

const service = (id: string): Service => ({
  id,
  site: 'a1',
  homeSite: 'a1',
  epoch: 1,
  state: 'running',
  policy: 'approve',
  staysBehind: [],
  sessions: 0,
  directory: null,
  accessPoint: null,
  servlet: null,
  path: { policy: 'two-hop', nearest: 1 },
  route: [],
  usage: null,
});
const stateWith = (...services: string[]): ConsoleState => ({
  ...emptyState(),
  console: {
    console: {
      id: 'console',
      version: '0',
      labName: 'lab',
      phase: 'ready',
      phaseText: '',
      halted: false,
      readOnly: false,
      startedAt: 0,
    },
  },
  services: Object.fromEntries(services.map((id) => [id, service(id)])),
});
const aMove = (state: Move['state'], more: Partial<Move> = {}): Move => ({
  id: 'm1',
  service: 'shop.example',
  from: 'a1',
  to: 'b1',
  stone: 'stone-a',
  epoch: 2,
  state,
  requestedBy: 'terminal',
  reason: '',
  attack: null,
  pausedBefore: null,
  phases: [],
  startedAt: 0,
  endedAt: null,
  outageMs: null,
  predictedOutageMs: null,
  stateBytes: null,
  wireBytes: null,
  aheadBytes: null,
  sessionsCarried: null,
  sessionsLost: null,
  error: null,
  progress: null,
  failure: null,
  owed: null,
  ...more,
});

describe('what is not understood ends with 2 and a sentence', () => {
  test.each<[string[], RegExp]>([
    [[], /Say what to do/],
    [['fly'], /no command "move fly"/],
    [['lab'], /needs one more word/],
    [['lab', 'sideways'], /There are: move lab up, move lab down/],
    [['--nope', 'status'], /no option --nope before the command/],
    [['status', '--nope'], /Unknown option '--nope'.*move status --help/],
    [['status', 'word'], /"word" is one word too many/],
    [['move'], /SERVICE is missing/],
    [['move', 'SHOP!'], /SERVICE: must be a lower-case host name/],
    [['move', 'shop', '--to', 'B_1'], /--to: must be a host name such as b1/],
    [['move', 'shop', '--pause-at', 'lunch'], /--pause-at: /],
    [['move', 'shop', '--to', 'b1', '--to', 'b2'], /--to was given twice/],
    [['move', 'continue'], /MOVE is missing/],
    [['flood', '--seconds', 'ten'], /--seconds must be a number, not "ten"/],
    [['flood', '--seconds', '100'], /--seconds: /],
    [['service', 'policy', 'shop', 'whatever'], /POLICY: /],
    [['drill', 'run', 'earthquake'], /KIND: /],
    [['credential', 'issue', '--name', 'ada'], /--service is needed/],
    [['credential', 'revoke', 'XYZ'], /SERIAL: must be a hexadecimal serial number/],
    [['lab', 'exec', 'a1'], /COMMAND is missing after --/],
    [['lab', 'exec', 'a1', 'ls'], /"ls" is one word too many/],
    [['journal', '--follow', '--verify'], /do not go together/],
    [['schema', 'nonsense'], /no schema "nonsense"/],
    [['connect', '--trust', 't', '--access-point', 'x'], /--access-point must be HOST:PORT|cannot be read/],
  ])('move %j', async (args, sentence) => {
    const ran = await move.run(...args);
    expect(ran.printed).toEqual([]);
    expect(ran.error?.message).toMatch(sentence);
    if (args[0] !== 'connect') expect([ran.code, ran.error?.code]).toEqual([2, 'USAGE']);
    expect(ran.said.filter((line) => line.startsWith('{')).length).toBe(1);
  });
});

describe('help', () => {
  test('lists every command, prints nothing on stdout and ends with 0', async () => {
    const ran = await move.run('--help');
    expect([ran.code, ran.printed]).toEqual([0, []]);
    for (const command of allCommands) expect(ran.said.join('\n')).toContain(command.path.join(' '));
  });

  test.each(allCommands.map((command) => [command.path.join(' '), command] as const))(
    '%s explains itself',
    async (name, command) => {
      const ran = await move.run(...name.split(' '), '--help');
      expect([ran.code, ran.printed]).toEqual([0, []]);
      const text = ran.said.join('\n');
      expect(text).toContain(`Usage: move ${name}`);
      expect(text).toContain(command.summary);
      for (const option of Object.keys(command.options ?? {})) expect(text).toContain(`--${option}`);
      for (const positional of command.positionals ?? []) expect(positional.docs).not.toBe('');
    },
  );

  test('a group lists its own commands', async () => {
    const ran = await move.run('credential', '--help');
    expect(ran.code).toBe(0);
    expect(ran.said.join()).toContain('credential revoke');
    expect(ran.said.join()).not.toContain('lab up');
  });
});

describe('commands of the contract', () => {
  test('say in their help what the contract says, and name every field of its input', () => {
    const derived = {
      'flood.start': 'flood',
      'proposal.approve': 'proposal approve',
      'credential.list': 'credential list',
    };
    for (const [method, words] of Object.entries(derived)) {
      const command = allCommands.find((candidate) => candidate.path.join(' ') === words);
      expect(command?.summary).toBe(contract[method as keyof typeof contract].docs);
    }
    const flood = allCommands.find((candidate) => candidate.path[0] === 'flood');
    expect(flood?.options).toMatchObject({
      service: { type: 'text' },
      seconds: { type: 'number' },
      target: { type: 'text', docs: 'an address inside the lab; anything else is refused' },
    });
  });

  test('send what was typed as a terminal and print the answer', async () => {
    const control = await move.control(
      { 'flood.start': () => ({ flood: 'f1' }), 'credential.list': () => ({ credentials: [] }) },
      stateWith('shop.example'),
    );
    const ran = await move.run('flood', '--seconds', '5', '--service', 'shop', '--target', '10.0.0.9');
    expect([ran.code, ran.printed]).toEqual([0, [{ flood: 'f1' }]]);
    await move.run('credential', 'list', '--include-expired');
    expect(control.calls.filter((call) => call.method !== 'state')).toEqual([
      {
        method: 'flood.start',
        input: { service: 'shop.example', seconds: 5, target: '10.0.0.9' },
        caller: 'terminal',
      },
      { method: 'credential.list', input: { includeExpired: true }, caller: 'terminal' },
    ]);
  });

  test('a fault of the control plane is one JSON line on stderr, and 1', async () => {
    await move.control({
      'emergency.stop': () => {
        throw new MoveError('NOT_NOW', 'Try again later.', { why: 3 });
      },
    });
    const ran = await move.run('stop');
    expect(ran).toMatchObject({ code: 1, printed: [] });
    expect(ran.said).toEqual([
      '{"error":{"code":"NOT_NOW","message":"Try again later.","details":{"why":3}}}',
    ]);
  });

  test('ring verify succeeds only when the invariant holds', async () => {
    const found = { members: ['n1'], absent: [], silent: [], successorListLength: 4, readings: 1 };
    const violation = { rule: 'ordered-ring', culprit: 'n1', sentence: 'n1 goes on to n3, past n2.' };
    let violations: (typeof violation)[] = [];
    await move.control({ 'ring.verify': () => ({ ...found, ok: violations.length === 0, violations }) });
    expect((await move.run('ring', 'verify')).code).toBe(0);
    violations = [violation];
    const broken = await move.run('ring', 'verify');
    expect(broken).toMatchObject({ code: 1, printed: [{ ok: false, violations: [violation] }] });
  });
});

describe('move', () => {
  test('takes a short name, waits until the move is done and prints it', async () => {
    const states = [aMove('running'), aMove('committed'), aMove('done', { outageMs: 400 })];
    const control = await move.control(
      {
        'move.start': () => ({ move: aMove('running') }),
        'move.wait': () => ({ move: states.shift() ?? aMove('failed') }),
      },
      stateWith('shop.example', 'shopping.example'),
    );
    const ran = await move.run('move', 'shop', '--to', 'b1', '--pause-at', 'commit');
    expect(ran.code).toBe(0);
    expect(ran.printed).toMatchObject([{ move: { state: 'done', outageMs: 400 } }]);
    expect(control.calls.find((call) => call.method === 'move.start')?.input).toEqual({
      service: 'shop.example',
      to: 'b1',
      pauseAt: 'commit',
    });
    expect(states).toEqual([]);
  });

  test('a paused move is a success; one that was taken back is printed and is an error', async () => {
    let end = aMove('paused', { pausedBefore: 'commit' });
    await move.control(
      { 'move.start': () => ({ move: aMove('running') }), 'move.wait': () => ({ move: end }) },
      stateWith('shop.example'),
    );
    expect((await move.run('move', 'shop.example')).code).toBe(0);
    end = aMove('rolled-back', { error: { code: 'TARGET_FULL', message: 'No room at b1.' } });
    const ran = await move.run('move', 'shop.example');
    expect(ran).toMatchObject({ code: 1, error: { code: 'TARGET_FULL', details: { move: 'm1' } } });
    expect(ran.printed).toMatchObject([{ move: { state: 'rolled-back' } }]);
  });

  test('--no-wait answers at once; continue and cancel name the move', async () => {
    const control = await move.control(
      {
        'move.start': () => ({ move: aMove('running') }),
        'move.continue': () => ({ move: aMove('done') }),
        'move.cancel': () => ({ move: aMove('rolled-back') }),
      },
      stateWith('shop.example'),
    );
    expect((await move.run('move', 'shop', '--no-wait')).printed).toMatchObject([
      { move: { state: 'running' } },
    ]);
    expect((await move.run('move', 'continue', 'm1')).code).toBe(0);
    expect((await move.run('move', 'cancel', 'm1')).code).toBe(0);
    expect(control.calls.map((call) => call.method)).toEqual([
      'state',
      'move.start',
      'move.continue',
      'move.cancel',
    ]);
  });

  test('an unknown or ambiguous service is refused with the names that there are', async () => {
    await move.control({}, stateWith('shop.example', 'shop.test', 'mail.example'));
    expect((await move.run('move', 'shop')).error).toMatchObject({
      code: 'AMBIGUOUS_SERVICE',
      details: { services: ['shop.example', 'shop.test'] },
    });
    expect((await move.run('move', 'news')).error?.message).toContain('mail.example, shop.example');
  });
});

describe('lists, status and journal', () => {
  test('come from the state', async () => {
    await move.control({}, stateWith('shop.example', 'mail.example'));
    expect((await move.run('status', '--json')).printed).toMatchObject([
      { revision: 7, state: { services: { 'shop.example': { site: 'a1' } } } },
    ]);
    const { printed } = await move.run('service', 'list');
    expect((printed[0] as { services: Service[] }).services.map((one) => one.id)).toEqual([
      'mail.example',
      'shop.example',
    ]);
    expect((await move.run('proposal', 'list')).printed).toEqual([{ proposals: [] }]);
    expect((await move.run('move', 'list')).printed).toEqual([{ moves: [] }]);
  });

  test('a broken journal is an error as well as an answer', async () => {
    let ok = true;
    await move.control({ 'journal.verify': () => ({ ok, checked: 9, firstBad: ok ? null : 4 }) });
    expect((await move.run('journal', '--verify')).code).toBe(0);
    ok = false;
    const ran = await move.run('journal', '--verify');
    expect(ran).toMatchObject({
      code: 1,
      error: { code: 'JOURNAL_BROKEN' },
      printed: [{ ok: false, firstBad: 4 }],
    });
  });

  test('--follow prints every event once, in order, also those that come later', async () => {
    const event = (n: number) =>
      ({ id: String(n), at: n, type: 't', tone: 'plain', text: `${n}`, subject: null }) as const;
    const events = Array.from({ length: 5 }, (_, i) => event(i + 1));
    let grow: () => void = () => undefined;
    await move.control({
      'journal.read': ({ after }) => {
        const page = events.filter((one) => Number(one.id) > after).slice(0, 2);
        const last = page.at(-1);
        return { events: page, next: last && last !== events.at(-1) ? Number(last.id) : null };
      },
      state: (_input, _context, emit) => {
        emit({ kind: 'snapshot', revision: 1, state: emptyState() });
        grow = () => {
          events.push(event(events.length + 1));
          emit({ kind: 'delta', revision: 2, changes: [] });
        };
      },
    });
    const seen: string[] = [];
    move.onPrint = (value) => {
      seen.push((value as { id: string }).id);
      if (seen.length === 5) queueMicrotask(() => grow());
      if (seen.length === 6) move.stop.abort();
    };
    const ran = await move.run('journal', '--follow');
    expect(ran.code).toBe(0);
    expect(seen).toEqual(['1', '2', '3', '4', '5', '6']);
  });
});

describe('without a control plane', () => {
  test('--no-start says so', async () => {
    expect((await move.run('status', '--no-start')).error?.code).toBe('CONTROL_ABSENT');
    expect((await move.run('--no-start', 'status')).error?.code).toBe('CONTROL_ABSENT');
  });

  test('one that does not come up is reported with the end of its log', async () => {
    const ran = await move.run('status');
    expect(ran.said[0]).toContain('starting one in the background');
    expect(ran).toMatchObject({ code: 1, error: { code: 'CONTROL_FAILED' } });
    expect(fs.existsSync(path.join(move.home, 'control.log'))).toBe(true);
  });

  test('--home names another state directory', async () => {
    await move.control({ 'emergency.release': () => ({}) });
    expect((await move.run('release', '--home', `${move.home}-other`, '--no-start')).error?.code).toBe(
      'CONTROL_ABSENT',
    );
    move.environment = { MOVE_HOME: '/nowhere' };
    expect((await move.run('--home', move.home, 'release')).code).toBe(0);
  });
});

describe('serve', () => {
  const running = (calls: string[] = []) => ({
    startControl: async ({ home }: { home: string }) => {
      calls.push(`start ${home === move.home}`);
      const { smallControl } = await import('./small-control.ts');
      return {
        handlers: smallControl({ 'emergency.release': () => ({}) }).handlers,
        ready: Promise.resolve(),
        stop: async () => void calls.push('stop'),
      };
    },
  });

  test('prints one ready line, serves the socket, and stops in order', async () => {
    const calls: string[] = [];
    move.rooms = running(calls);
    const second = new MoveHarness();
    move.onPrint = () => {
      void second.run('--home', move.home, 'release').then((ran) => {
        calls.push(`release ${ran.code}`);
        move.stop.abort();
      });
    };
    const ran = await move.run('serve');
    expect(ran).toMatchObject({
      code: 0,
      printed: [{ ready: true, socket: path.join(move.home, 'control.sock') }],
    });
    expect(calls).toEqual(['start true', 'release 0', 'stop']);
    expect(fs.existsSync(path.join(move.home, 'control.sock'))).toBe(false);
    await second.clean();
  });

  test('refuses a second one in the same home, and releases the lock when starting fails', async () => {
    const lock = lockHome(move.home);
    expect((await move.run('serve')).error?.code).toBe('CONTROL_RUNNING');
    lock.release();
    expect((await move.run('serve')).error?.code).toBe('NOT_HERE');
    lockHome(move.home).release();
  });

  test('a fleet that cannot be attached leaves a control plane that says so', async () => {
    move.labRunning = true;
    move.rooms = {
      startControl: async (options) => ({
        ...(await running().startControl(options)),
        ready: Promise.reject(new MoveError('STONES_SILENT', 'No stone answers.')),
      }),
    };
    move.onPrint = () => move.stop.abort();
    const ran = await move.run('serve');
    expect(ran).toMatchObject({ code: 0, printed: [{ ready: true }], error: { code: 'STONES_SILENT' } });
  });

  test('--stop without one is no fault', async () => {
    expect(await move.run('serve', '--stop')).toMatchObject({ code: 0, printed: [{ stopped: false }] });
  });
});

describe('drill run', () => {
  const drill = (state: Drill['state'], more: Partial<Drill> = {}): Drill => ({
    id: 'd1',
    kind: 'udp-flood',
    state,
    site: 'a1',
    broughtHomeFrom: null,
    startedAt: 0,
    floodStartedAt: null,
    floodEndsAt: null,
    endedAt: null,
    verdict: null,
    report: null,
    error: null,
    ...more,
  });

  test('prints the report, and only a true verdict is a success', async () => {
    move.labRunning = true;
    let end = drill('judged', { verdict: true, report: { verdict: true, outageMs: 300 } });
    const control = await move.control(
      { 'drill.start': () => ({ drill: drill('preparing') }), 'drill.wait': () => ({ drill: end }) },
      stateWith('shop.example'),
    );
    const held = await move.run('drill', 'run', 'udp-flood', '--json', '--to', 'b1');
    expect(held).toMatchObject({ code: 0, printed: [{ verdict: true, outageMs: 300 }] });
    expect(control.calls.find((call) => call.method === 'drill.start')?.input).toEqual({
      kind: 'udp-flood',
      to: 'b1',
      autoApprove: true,
    });
    end = drill('judged', { verdict: false, report: { verdict: false } });
    const fallen = await move.run('drill', 'run', 'udp-flood');
    expect(fallen).toMatchObject({
      code: 1,
      printed: [{ verdict: false }],
      error: { code: 'HYPOTHESIS_REFUTED' },
    });
    end = drill('failed', { error: { code: 'BOTS_SILENT', message: 'No bot answers.' } });
    expect(await move.run('drill', 'run', 'udp-flood')).toMatchObject({
      code: 1,
      printed: [],
      error: { code: 'BOTS_SILENT' },
    });
    expect(move.labCalls).toEqual([]);
  });

  test('says that the service is brought home first, once', async () => {
    move.labRunning = true;
    const waits = [
      drill('preparing', { broughtHomeFrom: 'b1' }),
      drill('judged', { broughtHomeFrom: 'b1', verdict: true, report: { verdict: true } }),
    ];
    await move.control(
      {
        'drill.start': () => ({ drill: drill('preparing', { broughtHomeFrom: 'b1' }) }),
        'drill.wait': () => ({ drill: waits.shift()! }),
      },
      stateWith('shop.example'),
    );
    const ran = await move.run('drill', 'run', 'udp-flood');
    expect(ran).toMatchObject({ code: 0, printed: [{ verdict: true }] });
    expect(ran.said.filter((line) => line.includes('brought home'))).toEqual([
      'The service is at b1 and is brought home to a1 first.',
    ]);
  });

  test('a lab that it brought up is taken down again, unless it shall be kept', async () => {
    await move.control(
      {
        'drill.start': () => ({ drill: drill('judged', { verdict: true, report: { verdict: true } }) }),
      },
      stateWith('shop.example'),
    );
    expect((await move.run('drill', 'run', 'quiet-minute')).code).toBe(0);
    expect(move.labCalls).toEqual(['start', 'stop']);
    expect((await move.run('drill', 'run', 'quiet-minute', '--keep')).code).toBe(0);
    expect(move.labCalls).toEqual(['start', 'stop', 'start']);
  });

  test('an interrupted drill is stopped, not left flooding', async () => {
    move.labRunning = true;
    const control = await move.control(
      {
        'drill.start': () => ({ drill: drill('attack') }),
        'drill.wait': (_input, { signal }) =>
          new Promise((resolve) => {
            queueMicrotask(() => move.stop.abort());
            signal.addEventListener('abort', () => resolve({ drill: drill('attack') }));
          }),
        'emergency.stop': () => ({ floodsStopped: 1, drillsStopped: 1, movesTakenBack: 0 }),
        'emergency.release': () => ({}),
      },
      stateWith('shop.example'),
    );
    expect(await move.run('drill', 'run', 'udp-flood')).toMatchObject({
      code: 1,
      error: { code: 'CANCELLED' },
    });
    expect(control.calls.map((call) => call.method)).toContain('emergency.stop');
  });
});

describe('credentials', () => {
  const issued = {
    credential: {
      id: 'abcd',
      name: 'Ada L.',
      profile: 'client',
      services: 'any' as const,
      notBefore: 0,
      notAfter: 1,
      revokedAt: null,
      reason: null,
      fingerprint256: 'f',
    },
    certificatePem: 'CERT',
    keyPem: 'KEY',
    trustPem: 'TRUST',
    pkcs12Base64: Buffer.from('P12').toString('base64'),
  };
  const issue = () =>
    move.run(
      'credential',
      'issue',
      '--name',
      'Ada L.',
      '--service',
      'any',
      '--days',
      '1',
      '--out',
      path.join(move.home, 'out'),
    );

  test('are written once, keys for their owner alone, and never over something', async () => {
    const control = await move.control({ 'credential.issue': () => issued });
    move.secret = 'long enough';
    const ran = await issue();
    expect(ran.code).toBe(0);
    const files = ran.printed[0] as Record<'pkcs12' | 'certificate' | 'key' | 'trust', string> & {
      serial: string;
    };
    expect(files).toMatchObject({ serial: 'abcd', passwordFile: null });
    expect(path.basename(files.pkcs12)).toBe('Ada-L.p12');
    expect(fs.readFileSync(files.pkcs12, 'utf8')).toBe('P12');
    expect(fs.readFileSync(files.certificate, 'utf8')).toBe('CERT');
    expect(fs.statSync(files.key).mode & 0o777).toBe(0o600);
    expect(fs.statSync(files.pkcs12).mode & 0o777).toBe(0o600);
    expect(control.calls[0]?.input).toEqual({
      name: 'Ada L.',
      services: 'any',
      renewals: 12,
      days: 1,
      password: 'long enough',
    });

    const again = await issue();
    expect(again).toMatchObject({ code: 1, error: { code: 'FILE_EXISTS' } });
    expect(control.calls.length).toBe(1);
  });

  test('without a password one is made up and kept beside the file', async () => {
    const control = await move.control({ 'credential.issue': () => issued });
    const ran = await issue();
    const { passwordFile } = ran.printed[0] as { passwordFile: string };
    const password = (control.calls[0] as { input: { password: string } }).input.password;
    expect(fs.readFileSync(passwordFile, 'utf8')).toBe(`${password}\n`);
    expect(fs.statSync(passwordFile).mode & 0o777).toBe(0o600);
    expect(password.length).toBeGreaterThanOrEqual(16);
  });

  test('a password comes from a file or the environment, and a short one is refused before anything', async () => {
    const control = await move.control({ 'credential.issue': () => issued });
    move.environment = { MOVE_PASSWORD: 'short' };
    expect(await issue()).toMatchObject({ code: 2, error: { code: 'USAGE' } });
    const file = path.join(move.home, 'password');
    fs.writeFileSync(file, 'from the file\nand more');
    const args = [
      'credential',
      'issue',
      '--name',
      'b',
      '--service',
      'a.example',
      '--service',
      'b.example',
      '--days',
      '2',
    ];
    const ran = await move.run(...args, '--out', move.home, '--password-file', file);
    expect(ran.code).toBe(0);
    expect(control.calls[0]?.input).toMatchObject({
      services: ['a.example', 'b.example'],
      password: 'from the file',
    });
    expect(
      (await move.run(...args, '--out', move.home, '--password-file', `${file}-absent`)).error?.code,
    ).toBe('PASSWORD_FILE_UNREADABLE');
  });

  test('a serial number may be typed as other programs print it', async () => {
    const control = await move.control({
      'credential.revoke': () => ({ credential: issued.credential, accessPointsTold: 8, toldWithinMs: 20 }),
    });
    expect((await move.run('credential', 'revoke', '28:DD:94', '--reason', 'keyCompromise')).code).toBe(0);
    expect(control.calls[0]?.input).toEqual({ serial: '28dd94', reason: 'keyCompromise' });
  });

  test('trust is written again each time', async () => {
    let round = 1;
    await move.control({
      'credential.trust': () => ({ trustPem: `T${round}`, revocationListPem: `R${round++}` }),
    });
    await move.run('credential', 'trust', '--out', move.home);
    const ran = await move.run('credential', 'trust', '--out', move.home);
    const files = ran.printed[0] as { trust: string; revocationList: string };
    expect(fs.readFileSync(files.trust, 'utf8') + fs.readFileSync(files.revocationList, 'utf8')).toBe('T2R2');
  });
});

describe('connect', () => {
  const settings: unknown[] = [];
  beforeEach(() => {
    settings.length = 0;
    fs.mkdirSync(move.home, { recursive: true });
    for (const name of ['cert', 'key', 'trust', 'p12']) fs.writeFileSync(path.join(move.home, name), name);
    move.rooms = {
      startForwarder: async (given) => {
        settings.push(given);
        return {
          ready: { httpProxy: 'http://127.0.0.1:8080' },
          status: () => ({ line: 'overlay via node-1' }),
          close: async () => void settings.push('closed'),
        };
      },
    };
    move.onPrint = () => move.stop.abort();
  });
  const file = (name: string) => path.join(move.home, name);
  const pair = async () =>
    (await createTestAuthority()).issue({ role: 'client', name: 'ada', services: ['shop.example'] });
  const base = () => [
    'connect',
    '--trust',
    file('trust'),
    '--access-point',
    '10.0.0.1:7400',
    '--access-point',
    '[::1]:7400',
  ];

  test('prints one ready line, runs until interrupted, then closes', async () => {
    const ran = await move.run(
      ...base(),
      '--certificate',
      file('cert'),
      '--key',
      file('key'),
      '--http',
      'localhost:0',
      '--socks',
      '127.0.0.1:1080',
      '--forward',
      '8081=shop.example:80',
    );
    expect(ran).toMatchObject({ code: 0, printed: [{ ready: true, httpProxy: 'http://127.0.0.1:8080' }] });
    expect(settings).toMatchObject([
      {
        certificatePem: 'cert',
        keyPem: 'key',
        trustPem: 'trust',
        accessPoints: [
          { host: '10.0.0.1', port: 7400 },
          { host: '::1', port: 7400 },
        ],
        httpProxy: { host: '127.0.0.1', port: 0 },
        socksProxy: { host: '127.0.0.1', port: 1080 },
        forwards: [{ localPort: 8081, service: 'shop.example', port: 80 }],
      },
      'closed',
    ]);
  });

  test('takes a PKCS#12 file with its password from outside the command line', async () => {
    move.environment = { MOVE_PASSWORD: 'hush' };
    await move.run(...base(), '--pkcs12', file('p12'), '--http', '127.0.0.1:1');
    expect(settings[0]).toMatchObject({ pkcs12: Buffer.from('p12'), password: 'hush' });
    move.environment = {};
    expect((await move.run(...base(), '--pkcs12', file('p12'), '--http', '127.0.0.1:1')).code).toBe(2);
  });

  test('takes the way, the file of the list, and where renewed certificates go; finishes a renewal cut short', async () => {
    const pem = ['--certificate', file('cert'), '--key', file('key'), '--http', '127.0.0.1:1'];
    await move.run(...base(), ...pem);
    expect(settings[0]).toMatchObject({ way: 'overlay' });
    expect(settings[0]).not.toHaveProperty('renewed');
    await move.run(...base(), ...pem, '--way', 'auto', '--state', file('list'), '--renew');
    expect(settings[2]).toMatchObject({
      way: 'auto',
      stateFile: file('list'),
      renewed: { certificate: file('cert'), key: file('key') },
    });

    const [before, after] = [await pair(), await pair()];
    fs.writeFileSync(file('cert'), before.certificatePem);
    fs.writeFileSync(file('cert.part'), after.certificatePem);
    fs.writeFileSync(file('key'), after.keyPem);
    await move.run(...base(), ...pem);
    expect(settings[4]).toMatchObject({ certificatePem: after.certificatePem, keyPem: after.keyPem });
    expect(fs.readFileSync(file('cert'), 'utf8')).toBe(after.certificatePem);
    expect(fs.existsSync(file('cert.part'))).toBe(false);
  });

  test('a renewed certificate takes the place of the one before, in PEM and in PKCS#12, for its owner alone', async () => {
    const { certificatePem, keyPem, trustPem } = await pair();
    const renewed = { certificatePem, keyPem, authorityPem: trustPem[0]! };
    fs.chmodSync(file('cert'), 0o644);
    await replaceIdentityFiles({ certificate: file('cert'), key: file('key') }, renewed);
    await replaceIdentityFiles({ pkcs12: file('p12'), password: 'hush hush' }, renewed);
    expect(readPemFiles({ certificate: file('cert'), key: file('key') })).toEqual({ certificatePem, keyPem });
    expect(readPkcs12(fs.readFileSync(file('p12')), 'hush hush').certificatePem.trim()).toBe(
      certificatePem.trim(),
    );
    for (const name of ['cert', 'key', 'p12']) expect(fs.statSync(file(name)).mode & 0o777).toBe(0o600);
  });

  test.each<[string[], RegExp]>([
    [
      ['--certificate', 'KEY', '--key', 'KEY', '--http', '127.0.0.1:1', '--way', 'home'],
      /--way must be one of/,
    ],
    [['--http', '127.0.0.1:1'], /Say who you are/],
    [['--certificate', 'KEY', '--http', '127.0.0.1:1'], /Say who you are/],
    [['--certificate', 'KEY', '--key', 'KEY'], /Say what to serve/],
    [['--certificate', 'KEY', '--key', 'KEY', '--http', '0.0.0.0:1'], /--http must be .*loopback/],
    [['--certificate', 'KEY', '--key', 'KEY', '--socks', '198.51.100.1:1'], /--socks must be .*loopback/],
    [['--certificate', 'KEY', '--key', 'KEY', '--forward', '80:shop:80'], /--forward must be/],
    [['--certificate', 'KEY', '--key', 'KEY', '--forward', '80=shop:0'], /--forward must be/],
    [['--certificate', 'KEY', '--pkcs12', 'KEY', '--http', '127.0.0.1:1'], /Give either/],
  ])('refuses %j', async (args, sentence) => {
    const ran = await move.run(...base(), ...args.map((word) => (word === 'KEY' ? file('key') : word)));
    expect(ran.code).toBe(2);
    expect(ran.error?.message).toMatch(sentence);
  });
});

describe('lab and doctor', () => {
  test('up, status, exec with its exit code, down', async () => {
    expect((await move.run('lab', 'up', '--spec', 'my.yaml')).printed).toEqual([{ running: true }]);
    expect((await move.run('lab', 'status', '--json')).printed).toEqual([{ running: true }]);
    const ran = await move.run('lab', 'exec', 'client-1', '--', 'sh', '-c', 'exit 7', '--', '--help');
    expect([ran.code, ran.printed, ran.said]).toEqual([7, [], []]);
    expect((await move.run('lab', 'down')).printed).toEqual([{ running: false }]);
    expect(move.labCalls).toEqual([
      'start my.yaml',
      'exec client-1 ["sh","-c","exit 7","--","--help"]',
      'stop',
    ]);
  });

  test('doctor fails when something is missing', async () => {
    let state: 'missing' | 'degraded' = 'degraded';
    move.rooms = { doctor: async () => [{ id: 'criu', state, finding: 'old', remedy: 'newer' }] };
    expect((await move.run('doctor')).code).toBe(0);
    state = 'missing';
    expect((await move.run('doctor')).code).toBe(1);
  });
});

describe('schema', () => {
  test('every output has one, each of its own', async () => {
    const { printed } = await move.run('schema');
    const { schemas } = printed[0] as { schemas: string[] };
    expect(schemas).toContain('drill run');
    expect(schemas).toContain('lab status');
    for (const name of Object.keys(contract)) expect(schemas).toContain(name);
    for (const name of schemas) {
      const ran = await move.run('schema', ...name.split(' '));
      expect([name, ran.code]).toEqual([name, 0]);
      expect(ran.printed[0]).toHaveProperty('$schema');
      expect(ran.printed[0]).toSatisfy(
        (schema: object) => 'type' in schema || 'anyOf' in schema || 'oneOf' in schema,
      );
    }
    expect((await move.run('schema', 'credential.issue')).printed).not.toEqual(
      (await move.run('schema', 'credential', 'issue')).printed,
    );
  });

  test('what commands print keeps to their schemas', async () => {
    await move.control({}, stateWith('shop.example'));
    for (const words of [['status'], ['service', 'list'], ['proposal', 'list'], ['move', 'list']]) {
      const source = schemaSources(allCommands).get(words.join(' '));
      const schema = await source?.(move.rooms as never);
      const { printed } = await move.run(...words);
      expect(schema?.safeParse(printed[0]).error?.issues).toBeUndefined();
    }
  });
});
