import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { readManifestFile } from '../../../core/drills/lab-manifest-file.ts';
import {
  guardTarget,
  isPermitted,
  judgeTarget,
  refuseEarly,
  type Surroundings,
} from '../../../core/drills/target-guard.ts';

const manifest = {
  labId: 'lab-1',
  name: 'test',
  hosts: {
    a1: {
      name: 'a1',
      role: 'site',
      isp: 'a',
      addresses: { primary: '198.18.1.11', secondary: '10.1.0.11' },
      netnsInode: 4_026_532_001,
    },
    'stone-a': {
      name: 'stone-a',
      role: 'stone',
      addresses: { global: '198.18.1.200', internal: '10.1.0.1' },
      netnsInode: 4_026_532_002,
    },
    'node-1': {
      name: 'node-1',
      role: 'overlay',
      addresses: { global: '198.18.100.1' },
      netnsInode: 4_026_532_003,
    },
    'bot-1': { name: 'bot-1', role: 'bot', addresses: { global: '198.18.66.1' }, netnsInode: 4_026_532_004 },
    'client-1': {
      name: 'client-1',
      role: 'client',
      addresses: { global: '198.18.100.101' },
      netnsInode: 4_026_532_005,
    },
    admin: { name: 'admin', role: 'admin', addresses: { global: '198.18.200.1' }, netnsInode: 4_026_532_006 },
  },
};
type Manifest = typeof manifest;

const onBot = (text: string = JSON.stringify(manifest)): Surroundings => ({
  manifest: { text },
  namespaceInode: 4_026_532_004,
  localAddresses: ['198.18.66.1'],
});
const onClient: Surroundings = {
  ...onBot(),
  namespaceInode: 4_026_532_005,
  localAddresses: ['198.18.100.101'],
};
const flood = { purpose: 'udp-flood', address: '198.18.1.11', port: 80, seconds: 8, mbit: 20 };
const surge = { purpose: 'honest-surge', address: '198.18.1.11', port: 80, seconds: 8, connections: 20 };
const refusal = expect.objectContaining({ code: 'FLOOD_REFUSED' });
const changed = (change: (copy: Manifest) => void): Surroundings => {
  const copy = structuredClone(manifest);
  change(copy);
  return onBot(JSON.stringify(copy));
};

describe('what is allowed', () => {
  test('a bot floods a primary address, and a secondary one to show that nothing arrives', () => {
    expect(judgeTarget(flood, onBot())).toEqual(flood);
    expect(judgeTarget({ ...flood, address: '10.1.0.11' }, onBot()).address).toBe('10.1.0.11');
  });

  test('a client surges to a primary address', () => {
    expect(judgeTarget(surge, onClient)).toEqual(surge);
  });

  test('a bot floods an overlay node only when it says so, and nothing else by that name', () => {
    const storm = { ...flood, purpose: 'node-flood', address: '198.18.100.1' };
    expect(judgeTarget(storm, onBot())).toEqual(storm);
    expect(refuseEarly(storm, manifest)).toEqual(storm);
    for (const address of ['198.18.1.11', '198.18.1.200', '198.18.100.101', '198.18.200.1', '198.18.100.2'])
      expect(() => judgeTarget({ ...storm, address }, onBot())).toThrow(refusal);
    expect(() => judgeTarget(storm, onClient)).toThrow(refusal);
    expect(() => judgeTarget({ ...storm, mbit: 201 }, onBot())).toThrow(refusal);
    expect(() => judgeTarget({ ...storm, seconds: 60, mbit: 200, port: 0 }, onBot())).toThrow(refusal);
  });

  test('a bot sends SYN and ICMP floods to a primary address only, within bounds', () => {
    const { mbit: _, ...base } = flood;
    const syn = { ...base, purpose: 'syn-flood', packetsPerSecond: 1000 };
    const icmp = { ...flood, purpose: 'icmp-flood' };
    for (const request of [syn, icmp]) {
      expect(judgeTarget(request, onBot())).toEqual(request);
      expect(() => judgeTarget(request, onClient)).toThrow(refusal);
      for (const address of ['10.1.0.11', '198.18.100.1', '198.18.100.101', '8.8.8.8', '127.0.0.1'])
        expect(() => judgeTarget({ ...request, address }, onBot())).toThrow(refusal);
    }
    expect(() => judgeTarget({ ...syn, packetsPerSecond: 10_001 }, onBot())).toThrow(refusal);
    expect(() => judgeTarget({ ...syn, mbit: 1 }, onBot())).toThrow(refusal);
    expect(() => judgeTarget({ ...icmp, seconds: 61 }, onBot())).toThrow(refusal);
  });

  test('a bot attacks by requests at a primary address only, within bounds', () => {
    const { mbit: _, ...base } = flood;
    const slow = { ...base, purpose: 'slow-http', connections: 20 };
    const asking = { ...slow, purpose: 'http-flood', requestsPerSecond: 400 };
    for (const request of [slow, asking, { ...asking, purpose: 'expensive-requests' }]) {
      expect(judgeTarget(request, onBot())).toEqual(request);
      expect(() => judgeTarget(request, onClient)).toThrow(refusal);
      for (const address of ['10.1.0.11', '198.18.100.1', '198.18.100.101', '8.8.8.8', '127.0.0.1'])
        expect(() => judgeTarget({ ...request, address }, onBot())).toThrow(refusal);
      expect(() => judgeTarget({ ...request, connections: 65 }, onBot())).toThrow(refusal);
      expect(() => judgeTarget({ ...request, seconds: 61 }, onBot())).toThrow(refusal);
    }
    expect(() => judgeTarget({ ...asking, requestsPerSecond: 1_001 }, onBot())).toThrow(refusal);
    expect(() => judgeTarget({ ...slow, requestsPerSecond: 1 }, onBot())).toThrow(refusal);
  });

  test('the control plane hears the same early', () => {
    expect(refuseEarly(flood, manifest)).toEqual(flood);
    expect(() => refuseEarly({ ...flood, address: '198.18.100.1' }, manifest)).toThrow(refusal);
    expect(() => refuseEarly(flood, undefined)).toThrow(refusal);
  });
});

describe('targets', () => {
  for (const address of [
    '127.0.0.1',
    '127.8.8.8',
    '0.0.0.0',
    '255.255.255.255',
    '198.18.1.255',
    '224.0.0.1',
    '239.1.2.3',
    '240.0.0.1',
    '8.8.8.8',
    '1.1.1.1',
    '169.254.169.254',
    '172.17.0.1',
    '192.168.1.1',
    '198.18.1.12',
    '198.18.1.200',
    '10.1.0.1',
    '198.18.100.1',
    '198.18.66.1',
    '198.18.100.101',
    '198.18.200.1',
    'localhost',
    'a1',
    'shop.example',
    '::1',
    'fe80::1',
    '::ffff:198.18.1.11',
    '198.18.1',
    '198.18.267',
    '3323068683',
    '0xc6.18.1.11',
    '0306.18.1.11',
    '198.018.1.11',
    '198.18.1.011',
    '198.18.1.11.',
    '.198.18.1.11',
    '198.18.1.11 ',
    ' 198.18.1.11',
    '198.18.1.11\n',
    '198.18.1.11\0',
    '198.18.1.11:80',
    '198.18.1.11/32',
    '198.18.1.11%lo',
    '198。18。1。11',
    '１98.18.1.11',
    '198.18.1.1 1',
    '',
  ]) {
    test(`${JSON.stringify(address)} is refused`, () => {
      expect(() => judgeTarget({ ...flood, address }, onBot())).toThrow(refusal);
    });
  }

  for (const [name, address] of [
    ['an object that prints as an address', { toString: () => '198.18.1.11', length: 11 }],
    ['a list', ['198.18.1.11']],
    ['a String object', new String('198.18.1.11')],
    ['a number', 3_323_068_683],
    ['nothing', undefined],
  ] as const) {
    test(`${name} is refused`, () => {
      expect(() => judgeTarget({ ...flood, address }, onBot())).toThrow(refusal);
    });
  }

  test('an address that changes between two looks is read once, and the answer cannot be changed', () => {
    let looks = 0;
    const shifty = {
      ...flood,
      get address() {
        looks += 1;
        return looks === 1 ? '198.18.1.11' : '8.8.8.8';
      },
    };
    const checked = judgeTarget(shifty, onBot());
    expect(checked.address).toBe('198.18.1.11');
    expect(() => Object.assign(checked, { address: '8.8.8.8' })).toThrow(TypeError);
  });

  test('a manifest cannot make the internet, the machine itself or a second holder a target', () => {
    for (const address of ['8.8.8.8', '127.0.0.1', '224.0.0.1', '0.0.0.0']) {
      const lied = changed((copy) => {
        copy.hosts.a1.addresses.primary = address;
      });
      expect(() => judgeTarget({ ...flood, address }, lied)).toThrow(refusal);
    }
    const twice = changed((copy) => {
      copy.hosts.admin.addresses.global = '198.18.1.11';
    });
    expect(() => judgeTarget(flood, twice)).toThrow(refusal);
  });

  test('a surge may not go to a secondary address', () => {
    expect(() => judgeTarget({ ...surge, address: '10.1.0.11' }, onClient)).toThrow(refusal);
  });
});

describe('bounds', () => {
  for (const change of [
    { seconds: 60.01 },
    { seconds: 0 },
    { seconds: -1 },
    { seconds: Number.NaN },
    { seconds: Number.POSITIVE_INFINITY },
    { seconds: '8' },
    { mbit: 200.1 },
    { mbit: 0 },
    { mbit: Number.NaN },
    { mbit: undefined },
    { port: 0 },
    { port: 65_536 },
    { port: 80.5 },
    { purpose: 'syn-flood' },
    { purpose: undefined },
    { force: true },
    { manifest: '/tmp/other.json' },
  ]) {
    test(`${JSON.stringify(change)} (${String(Object.values(change)[0])}) is refused`, () => {
      expect(() => judgeTarget({ ...flood, ...change }, onBot())).toThrow(refusal);
    });
  }
  test('what is no request at all is refused', () => {
    for (const nonsense of [undefined, null, 'flood', 7, [], () => flood]) {
      expect(() => judgeTarget(nonsense, onBot())).toThrow(refusal);
    }
  });
  test('more connections than allowed are refused', () => {
    expect(() => judgeTarget({ ...surge, connections: 65 }, onClient)).toThrow(refusal);
  });
});

describe('where the process stands', () => {
  test('outside every namespace of the manifest', () => {
    expect(() => judgeTarget(flood, { ...onBot(), namespaceInode: 4_026_531_840 })).toThrow(refusal);
    expect(() => judgeTarget(flood, { ...onBot(), namespaceInode: undefined })).toThrow(refusal);
  });

  test('on a host of the lab that is no bot', () => {
    for (const host of Object.values(manifest.hosts).filter((candidate) => candidate.role !== 'bot')) {
      const there = {
        ...onBot(),
        namespaceInode: host.netnsInode,
        localAddresses: Object.values(host.addresses) as string[],
      };
      expect(() => judgeTarget(flood, there)).toThrow(refusal);
    }
    expect(() => judgeTarget(surge, onBot())).toThrow(refusal);
  });

  test('in a namespace whose number a left-over manifest happens to name', () => {
    for (const localAddresses of [[], ['192.168.1.7'], ['198.18.66.1', '192.168.1.7']]) {
      expect(() => judgeTarget(flood, { ...onBot(), localAddresses })).toThrow(refusal);
    }
  });

  test('in a namespace that the manifest names twice', () => {
    const twice = changed((copy) => {
      copy.hosts.admin.netnsInode = copy.hosts['bot-1'].netnsInode;
    });
    expect(() => judgeTarget(flood, twice)).toThrow(refusal);
  });

  test('without a manifest, or with a damaged one', () => {
    expect(() => judgeTarget(flood, { ...onBot(), manifest: { fault: 'there is none' } })).toThrow(refusal);
    for (const text of [
      '',
      '{',
      'null',
      '[]',
      '{"hosts":{}}',
      '{"labId":"","hosts":{}}',
      '{"labId":"x","hosts":[]}',
    ]) {
      expect(() => judgeTarget(flood, onBot(text))).toThrow(refusal);
    }
  });
});

test('on this machine, which is no bot, the guard itself refuses, and permits no copy of an answer', () => {
  expect(() => guardTarget(flood)).toThrow(refusal);
  expect(isPermitted(judgeTarget(flood, onBot()))).toBe(false);
});

describe.skipIf(process.getuid?.() !== 0)('the manifest file', () => {
  const made: string[] = [];
  afterEach(() => {
    for (const path of made.splice(0)) rmSync(path, { recursive: true });
  });
  /** A directory that only root can write to, all the way up. */
  function rootOwned(): string {
    const directory = mkdtempSync('/run/move-guard-test-');
    made.push(directory);
    return directory;
  }

  test("root's own file is read", () => {
    const path = join(rootOwned(), 'lab.json');
    writeFileSync(path, '{}', { mode: 0o644 });
    expect(readManifestFile(path)).toEqual({ text: '{}' });
  });

  test('one that others can write, a link, a directory, a missing one and one in a shared place are not', () => {
    const directory = rootOwned();
    const good = join(directory, 'lab.json');
    writeFileSync(good, '{}');
    const link = join(directory, 'link.json');
    symlinkSync(good, link);
    const open = join(directory, 'open.json');
    writeFileSync(open, '{}');
    chmodSync(open, 0o666);
    const shared = join(directory, 'shared');
    mkdirSync(shared);
    chmodSync(shared, 0o777);
    writeFileSync(join(shared, 'lab.json'), '{}');
    const foreign = join(directory, 'foreign.json');
    writeFileSync(foreign, '{}');
    chownSync(foreign, 65_534, 65_534);
    for (const path of [
      link,
      foreign,
      open,
      directory,
      join(shared, 'lab.json'),
      join(directory, 'none.json'),
      '/dev/zero',
    ]) {
      expect(readManifestFile(path)).toEqual({ fault: expect.any(String) });
    }
  });
});
