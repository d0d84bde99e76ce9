import type { Drill, JournalEvent, Move, MovePhaseName, Proposal, Site } from '../../core/contract/domain.ts';
import type { Preflight, SiteOutlook } from '../../core/contract/preflight.ts';
import { type ConsoleState, emptyState } from '../../core/contract/state.ts';

/** Scripted states of a console, as core would send them. */
export const sceneNames = ['empty', 'rest', 'attack', 'moving', 'after', 'halted', 'huge'] as const;
export type SceneName = (typeof sceneNames)[number];

type Mutable = { [C in keyof ConsoleState]: Record<string, ConsoleState[C][string]> };

const service = 'shop.example';

export function makeScene(name: SceneName, now: number): ConsoleState {
  const state = emptyState() as Mutable;
  state.console.console = {
    id: 'console',
    version: '0.1.0',
    labName: 'default',
    phase: name === 'empty' ? 'starting' : 'ready',
    phaseText:
      name === 'empty' ? 'The lab is being brought up: 30 namespaces, 42 links.' : 'Everything is up.',
    halted: name === 'halted',
    readOnly: false,
    startedAt: now - 3_600_000,
  };
  if (name === 'empty') return state;
  if (name === 'huge') addHosts(state, now, ['a', 'b', 'c', 'd', 'e', 'f'], 12, 76, 8, 9);
  else addHosts(state, now, ['a', 'b', 'c'], 2, 8, 2, 3);
  addService(state, 'b1', 214);
  addCredentials(state, now);
  addVisitors(state, now);
  addHistory(state, now);
  if (name === 'huge') addMoreServices(state);
  if (name === 'attack') attack(state, now);
  if (name === 'moving') moving(state, now);
  if (name === 'after') after(state, now);
  return state;
}

function addHosts(
  state: Mutable,
  now: number,
  isps: string[],
  sitesEach: number,
  nodes: number,
  clients: number,
  bots: number,
): void {
  for (const [i, isp] of isps.entries()) {
    state.isps[isp] = { id: isp, name: `ISP ${isp.toUpperCase()}` };
    state.stones[`stone-${isp}`] = { id: `stone-${isp}`, isp, reach: 'up', relays: 0 };
    for (let s = 1; s <= sitesEach; s += 1) {
      const id = `${isp}${s}`;
      state.sites[id] = {
        id,
        isp,
        reach: 'up',
        primaryAddress: `10.${i + 1}.${s}.2`,
        primaryCapacityMbit: 20,
        secondaryCapacityMbit: 50,
        primaryInMbit: id === 'b1' ? 0.7 : 0.02,
        primaryOutMbit: id === 'b1' ? 2.4 : 0.01,
        secondaryInMbit: 0.01,
        secondaryOutMbit: 0.01,
        pods: [],
        attacked: false,
      };
    }
  }
  const ids = Array.from({ length: nodes }, (_, i) => `node-${i + 1}`);
  const identifiers = ids.map((id, i) => ({ id, at: ((i * 0.618 + 0.13) % 1) * 0xffffffff }));
  const order = identifiers.toSorted((a, b) => a.at - b.at).map((one) => one.id);
  for (const { id, at } of identifiers) {
    const place = order.indexOf(id);
    const next = (by: number) => order[(place + by + order.length) % order.length]!;
    state.nodes[id] = {
      id,
      address: `10.0.${Number(id.slice(5))}.2`,
      reach: 'up',
      ringIdentifier: `${Math.floor(at).toString(16).padStart(8, '0')}5a17c0de`,
      successors: [next(1), next(2), next(3)],
      predecessor: next(-1),
      fingers: [next(1), next(2), next(4)],
      roles: [],
      flooded: false,
      clientLinks: id === 'node-4' ? 12 : 2,
      sessions: id === 'node-4' ? 214 : 0,
    };
  }
  state.ring.ring = { id: 'ring', holds: true, culprit: null, rule: null, verifiedAt: now - 4_000 };
  for (let c = 1; c <= clients; c += 1)
    state.clients[`client-${c}`] = {
      id: `client-${c}`,
      role: 'client',
      reach: 'up',
      path: c === 1 ? 'overlay' : c === 2 ? 'direct' : 'none',
      services: [service],
      activity:
        c === 1 ? 'uses shop.example through the overlay' : c === 2 ? 'uses shop.example directly' : '',
    };
  for (let b = 1; b <= bots; b += 1)
    state.clients[`bot-${b}`] = {
      id: `bot-${b}`,
      role: 'bot',
      reach: 'up',
      path: 'none',
      services: [],
      activity: 'idle',
    };
}

function addService(state: Mutable, site: string, sessions: number): void {
  state.services[service] = {
    id: service,
    site,
    homeSite: 'b1',
    epoch: 3,
    state: 'running',
    policy: 'approve',
    staysBehind: ['/var/www'],
    sessions,
    directory: 'node-7',
    accessPoint: 'node-4',
    servlet: 'node-6',
    path: { policy: 'two-hop', nearest: 1 },
    route: ['node-4', 'node-6'],
  };
  state.nodes['node-4']!.roles = ['access-point'];
  state.nodes['node-6']!.roles = ['servlet'];
  state.nodes['node-7']!.roles = ['directory'];
  state.sites[site]!.pods = [service];
}

function addMoreServices(state: Mutable): void {
  for (let i = 1; i <= 9; i += 1) {
    const id = `service-${i}.example`;
    const site = `${'abcdef'[i % 6]}${(i % 12) + 1}`;
    state.services[id] = {
      ...state.services[service]!,
      id,
      site,
      homeSite: site,
      sessions: i * 31,
      accessPoint: `node-${i * 7}`,
      servlet: `node-${i * 5 + 3}`,
      route: [`node-${i * 7}`, `node-${i * 5 + 3}`],
      directory: `node-${i * 3 + 11}`,
    };
  }
  state.sites.d3!.reach = 'down';
  state.nodes['node-30']!.reach = 'down';
}

const day = 86_400_000;

function addCredentials(state: Mutable, now: number): void {
  const add = (name: string, profile: string, from: number, days: number, more: object = {}) => {
    const serial = (0x5c1e0000 + Object.keys(state.credentials).length * 7919)
      .toString(16)
      .padStart(18, '7a');
    state.credentials[serial] = {
      id: serial,
      name,
      profile,
      services: 'any',
      notBefore: now - from * day,
      notAfter: now + (days - from) * day,
      revokedAt: null,
      reason: null,
      fingerprint256: Array.from({ length: 32 }, (_, i) =>
        ((i * 37 + name.length * 11) % 256).toString(16).padStart(2, '0'),
      ).join(':'),
      ...more,
    };
  };
  add('Ada Lovelace', 'client', 1, 30, { services: [service] });
  add('Grace Hopper', 'client', 28, 30);
  add('warehouse scanner 7', 'client', 12, 365, { services: [service, 'stock.example'] });
  add('Charles Babbage', 'client', 20, 90, { revokedAt: now - 2 * day, reason: 'keyCompromise' });
  add('old laptop', 'client', 60, 30);
  add('node-4', 'overlay', 3, 365);
  add('b1', 'site', 3, 365);
  add(service, 'service', 3, 365, { services: [service] });
}

function addVisitors(state: Mutable, now: number): void {
  const add = (id: string, name: string, method: string, accessPoint: string, minutes: number, more = {}) => {
    const until = now + minutes * 60_000;
    state.visitors[id] = {
      id,
      name,
      method,
      accessPoint,
      services: [service],
      until,
      revokedAt: null,
      ...more,
    };
  };
  add('3A91C0DE5577E1420B', 'visitor 9f04c2e1', 'human-test', 'node-4', 26);
  add('7B20C0DE5577E1420C', 'Dorothy Vaughan', 'password', 'node-2', 21, {
    services: [service, 'stock.example'],
  });
  add('1C44C0DE5577E1420D', 'visitor 51b7aa08', 'human-test', 'node-4', 14);
  add('5D08C0DE5577E1420E', 'visitor e2c60f35', 'human-test', 'node-7', 9, { revokedAt: now - 180_000 });
  add('6E55C0DE5577E1420F', 'visitor 00d1e8b4', 'human-test', 'node-1', -2);
}

const lengths: [MovePhaseName, number][] = [
  ['prepare', 184],
  ['freeze', 7],
  ['dump', 92],
  ['ship', 168],
  ['verify', 21],
  ['restore', 52],
  ['commit', 9],
  ['announce', 24],
  ['firstAnswer', 46],
];

/** A move whose phases ran up to a moment after its start. */
export function makeMove(id: string, startedAt: number, upToMs: number, more: Partial<Move> = {}): Move {
  const phases: Move['phases'] = [];
  let at = startedAt;
  for (const [phase, length] of lengths) {
    if (at - startedAt > upToMs) break;
    const end = at + length;
    phases.push({ phase, startedAt: at, endedAt: end - startedAt <= upToMs ? end : null });
    at = end;
  }
  const done = phases.length === lengths.length && phases.at(-1)!.endedAt !== null;
  return {
    id,
    service,
    from: 'b1',
    to: 'a2',
    stone: 'stone-b',
    epoch: 4,
    state: done ? 'done' : 'running',
    requestedBy: 'administrator',
    reason: 'attack on B1, approved by hand',
    attack: null,
    pausedBefore: null,
    phases,
    startedAt,
    endedAt: done ? at : null,
    outageMs: done ? at - startedAt - 184 : null,
    predictedOutageMs: 380,
    stateBytes: 7_540_000,
    wireBytes: done ? 1_520_000 : null,
    aheadBytes: done ? 410_000 : null,
    sessionsCarried: done ? 214 : null,
    sessionsLost: done ? 0 : null,
    error: null,
    progress: null,
    failure: null,
    owed: null,
    ...more,
  };
}

function addHistory(state: Mutable, now: number): void {
  state.moves['move-1'] = makeMove('move-1', now - 2 * 3_600_000, 10_000, {
    from: 'c1',
    to: 'b1',
    stone: 'stone-c',
    epoch: 3,
    reason: 'moved by hand',
    outageMs: 402,
    sessionsCarried: 37,
  });
  state.moves['move-0'] = makeMove('move-0', now - 26 * 3_600_000, 360, {
    from: 'b1',
    to: 'c2',
    state: 'rolled-back',
    endedAt: now - 26 * 3_600_000 + 5_400,
    reason: 'moved by hand',
    error: {
      code: 'TRANSFER_FAILED',
      message: 'The stepping stone of ISP B closed the stream; the service was thawed at B1. Move it again.',
    },
  });
  const texts: [JournalEvent['tone'], string, string][] = [
    ['muted', 'lab.up', 'the lab is up: 30 hosts, 42 links'],
    ['plain', 'ring.member', 'node-8 joined the ring'],
    ['good', 'ring.verified', 'the ring invariant holds, 8 nodes'],
    ['good', 'service.running', 'shop.example answers at B1, epoch 3'],
    ['plain', 'credential.issued', 'certificate issued: Ada Lovelace, 30 days'],
    ['attack', 'admission.refused', 'refused at node-4: certificate of Charles Babbage is revoked'],
    ['plain', 'session.opened', '214 sessions through node-4'],
  ];
  texts.forEach(([tone, type, text], i) => {
    addEvent(state, now - 1_800_000 + i * 61_417, tone, type, text);
  });
}

export function addEvent(
  state: { events: Record<string, JournalEvent> },
  at: number,
  tone: JournalEvent['tone'],
  type: string,
  text: string,
): JournalEvent {
  const id = String(Object.keys(state.events).length + 1);
  const event: JournalEvent = { id, at, type, tone, text, subject: null };
  state.events[id] = event;
  return event;
}

function flooded(site: Site): Site {
  return { ...site, attacked: true, primaryInMbit: 20, primaryOutMbit: 0.1 };
}

function attack(state: Mutable, now: number): void {
  state.sites.b1 = flooded(state.sites.b1!);
  state.attacks['attack-1'] = {
    id: 'attack-1',
    site: 'b1',
    kind: 'udp-flood',
    state: 'active',
    evidence: '61 Mbit/s of UDP from 3 sources against a link of 20 Mbit/s; ping loss 37 %.',
    inboundMbit: 61,
    sources: 3,
    firstEvidenceAt: now - 4_000,
    detectedAt: now - 3_900,
    reportedAt: now - 3_880,
    overAt: null,
  };
  state.floods['flood-1'] = {
    id: 'flood-1',
    site: 'b1',
    bots: ['bot-1', 'bot-2', 'bot-3'],
    offeredMbit: 61,
    startedAt: now - 4_000,
    endsAt: now + 16_000,
    state: 'running',
  };
  for (const bot of ['bot-1', 'bot-2', 'bot-3'])
    state.clients[bot] = { ...state.clients[bot]!, activity: 'floods B1 with UDP' };
  state.proposals['proposal-1'] = makeProposal(now);
  addEvent(state, now - 4_000, 'muted', 'flood.first', 'first packet of the flood on B1');
  addEvent(
    state,
    now - 3_880,
    'attack',
    'attack.detected',
    'flood on B1: 61 Mbit/s of UDP, detected after 112 ms',
  );
  addEvent(state, now - 3_860, 'decision', 'proposal.made', 'proposed: move shop.example from B1 to A2');
}

export function makeProposal(now: number): Proposal {
  return {
    id: 'proposal-1',
    service,
    from: 'b1',
    to: 'a2',
    reasons: ['The primary link of B1 is full: 61 Mbit/s of UDP, ping loss 37 %.'],
    predictedOutageMs: 380,
    predictedFrom: 'from 4 earlier moves',
    sessions: 214,
    staysBehind: ['/var/www, over stone B'],
    undo: 'move back, the same way',
    attack: 'attack-1',
    state: 'waiting',
    decidedBy: null,
    createdAt: now - 3_860,
    decidedAt: null,
    move: null,
  };
}

function moving(state: Mutable, now: number): void {
  attack(state, now);
  state.proposals['proposal-1'] = {
    ...state.proposals['proposal-1']!,
    state: 'approved',
    decidedBy: 'administrator',
    decidedAt: now - 500,
    move: 'move-2',
  };
  const startedAt = now - 472;
  const running = makeMove('move-2', startedAt, 472, { attack: 'attack-1' });
  state.moves['move-2'] = {
    ...running,
    state: 'paused',
    pausedBefore: 'restore',
    phases: running.phases.filter((phase) => phase.endedAt !== null),
  };
  state.services[service] = { ...state.services[service]!, state: 'moving' };
  state.stones['stone-b'] = { ...state.stones['stone-b']!, relays: 1 };
  addEvent(
    state,
    now - 500,
    'decision',
    'proposal.approved',
    'approved by administrator: shop.example to A2',
  );
  addEvent(state, now - 206, 'plain', 'move.frozen', 'shop.example frozen and fenced at B1');
}

function after(state: Mutable, now: number): void {
  attack(state, now);
  state.proposals['proposal-1'] = { ...state.proposals['proposal-1']!, state: 'approved', move: 'move-2' };
  state.moves['move-2'] = makeMove('move-2', now - 2_400, 10_000, { attack: 'attack-1' });
  state.services[service] = { ...state.services[service]!, site: 'a2', epoch: 4 };
  state.sites.a2 = { ...state.sites.a2!, pods: [service], primaryInMbit: 0.7, primaryOutMbit: 2.2 };
  state.sites.b1 = { ...state.sites.b1!, pods: [] };
  state.stones['stone-b'] = { ...state.stones['stone-b']!, relays: 1 };
  state.lifelines['lifeline-1'] = {
    id: 'lifeline-1',
    service,
    fromSite: 'b1',
    stone: 'stone-b',
    toSite: 'a2',
    state: 'open',
    bytesPerSecond: 640_000,
    roundTripMs: 12.4,
  };
  state.drills['drill-1'] = makeDrill(now);
  addEvent(state, now - 2_000, 'plain', 'move.committed', 'source at B1 killed, fence at A2 lifted');
  addEvent(state, now - 1_990, 'lifeline', 'lifeline.open', 'lifeline B1, stone B, A2 is open');
  addEvent(
    state,
    now - 1_930,
    'good',
    'move.done',
    'shop.example answers at A2 after 0.42 s; 214 of 214 sessions kept',
  );
}

function makeDrill(now: number): Drill {
  const hypothesis = [
    ['No request through the overlay fails.', 0, 'atMost', 0, 'requests', true],
    [
      'While flooded, the direct person fails or waits many times longer.',
      41.3,
      'atLeast',
      10,
      'times',
      true,
    ],
    ['The service is away for at most a second.', 419, 'atMost', 1000, 'ms', true],
    ['The attack is detected within half a second.', 112, 'atMost', 500, 'ms', true],
    ['Answers are back as before within three seconds.', 1380, 'atMost', 3000, 'ms', true],
  ] as const;
  return {
    id: 'drill-1',
    kind: 'udp-flood',
    state: 'judged',
    site: 'b1',
    broughtHomeFrom: null,
    startedAt: now - 900_000,
    floodStartedAt: now - 890_000,
    floodEndsAt: now - 882_000,
    endedAt: now - 870_000,
    verdict: true,
    report: {
      verdict: true,
      detectedMs: 112,
      decidedMs: 131,
      outageMs: 419,
      disruptionMs: 1380,
      stateBytes: 7_540_000,
      wireBytes: 1_520_000,
      aheadBytes: 410_000,
      overlay: { requests: 2_941, failures: 0, p50Ms: 12.1, p95Ms: 15.8, longestStallMs: 431 },
      direct: { requests: 1_872, failures: 214, p50Ms: 12.9, p95Ms: 633, longestStallMs: 5_000 },
      hypothesis: hypothesis.map(([statement, measured, comparison, bar, unit, held]) => ({
        statement,
        measured,
        comparison,
        bar,
        unit,
        held,
      })),
      notes: [],
    },
    error: null,
  };
}

/** A preflight that found one site wanting. */
export function makePreflight(service: string, site: string, at: number): Preflight {
  const outlook = (id: string, roundTripMs: number): SiteOutlook => ({
    site: id,
    usable: true,
    findings: [],
    roundTripMs,
    predictedOutageMs: 420 + Math.round(roundTripMs),
    basis: 'a rehearsal and a 20 Mbit/s bottleneck',
  });
  return {
    id: service,
    at,
    site,
    verdict: 'moves',
    findings: [],
    rehearsal: {
      at,
      silentMs: 128,
      freezeMs: 6,
      dumpMs: 114,
      stateBytes: 6_063_357,
      aheadBytes: 263_635,
      wireBytes: 27_502,
      wholeWireBytes: 278_419,
      processes: 4,
      sessions: 214,
    },
    sites: [
      outlook('a2', 10.4),
      {
        site: 'c1',
        usable: false,
        findings: [
          {
            code: 'PROCESSOR_LACKS',
            severity: 'blocks',
            message:
              'The processors of c1 lack avx512f, which a program may have found and use. Take a site with processors of the same or a later kind.',
            subject: 'c1',
          },
        ],
        roundTripMs: 31.2,
        predictedOutageMs: null,
        basis: '',
      },
      outlook('c2', 31.4),
    ],
  };
}
