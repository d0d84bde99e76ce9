import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseInterfaceBytes } from '../../../core/pods/interface-bytes.ts';
import { PodResources } from '../../../core/pods/pod-resources.ts';

let tree: string;
beforeEach(() => {
  tree = mkdtempSync(join(tmpdir(), 'move-groups-'));
});
afterEach(() => rmSync(tree, { recursive: true, force: true }));

function put(file: string, text = ''): void {
  mkdirSync(dirname(join(tree, file)), { recursive: true });
  writeFileSync(join(tree, file), text);
}
const limits = { processors: 0.5, memoryMiB: 64, processes: 24 };
const read = (file: string) => readFileSync(join(tree, file), 'utf8');

describe('the control groups of a pod', () => {
  it('cgroup v1: the same place in each hierarchy that there is', () => {
    for (const name of ['memory', 'pids', 'cpu', 'cpuacct']) put(`${name}/cgroup.procs`);
    put('memory/site/pod-shop/memory.limit_in_bytes');
    put('memory/site/pod-shop/memory.usage_in_bytes', '5000\n');
    put('memory/site/pod-shop/memory.stat', 'inactive_file 1\ntotal_inactive_file 1000\n');
    put('pids/site/pod-shop/pids.max');
    put('cpu/site/pod-shop/cpu.cfs_quota_us');
    put('cpuacct/site/pod-shop/cpuacct.usage', '2500000000\n');
    const resources = new PodResources(join(tree, 'freezer/site/pod-shop'), limits, tree);
    resources.create();
    expect(resources.groups()).toEqual(
      ['freezer', 'memory', 'pids', 'cpu', 'cpuacct'].map((name) => join(tree, name, 'site/pod-shop')),
    );
    resources.limit();
    expect(read('memory/site/pod-shop/memory.limit_in_bytes')).toBe(String(64 << 20));
    expect(read('pids/site/pod-shop/pids.max')).toBe('24');
    expect(read('cpu/site/pod-shop/cpu.cfs_quota_us')).toBe('50000');
    resources.liftForRestore();
    expect(read('pids/site/pod-shop/pids.max')).toBe('28');
    expect(read('cpu/site/pod-shop/cpu.cfs_quota_us')).toBe('-1');
    expect(resources.usage()).toEqual({ processorMs: 2500, memoryBytes: 4000 });
  });

  it('cgroup v2: the group that freezes', () => {
    put('site/cgroup.subtree_control');
    put('site/pod-shop/memory.max');
    put('site/pod-shop/pids.max');
    put('site/pod-shop/cpu.max');
    put('site/pod-shop/cpu.stat', 'usage_usec 2500000\nuser_usec 1\n');
    put('site/pod-shop/memory.current', '5000\n');
    put('site/pod-shop/memory.stat', 'anon 1\ninactive_file 1000\n');
    const resources = new PodResources(join(tree, 'site/pod-shop'), limits, tree);
    resources.create();
    expect(read('site/cgroup.subtree_control')).not.toBe('');
    expect(resources.groups()).toEqual([join(tree, 'site/pod-shop')]);
    resources.limit();
    expect(read('site/pod-shop/memory.max')).toBe(String(64 << 20));
    expect(read('site/pod-shop/pids.max')).toBe('24');
    expect(read('site/pod-shop/cpu.max')).toBe('50000 100000');
    resources.liftProcessors();
    expect(read('site/pod-shop/cpu.max')).toBe('max');
    expect(resources.usage()).toEqual({ processorMs: 2500, memoryBytes: 4000 });
  });

  it('has no group of its own for processors where nothing limits them', () => {
    for (const name of ['memory', 'pids', 'cpu', 'cpuacct']) put(`${name}/cgroup.procs`);
    const groups = new PodResources(join(tree, 'freezer/site/pod-shop'), {}, tree).groups();
    expect(groups).not.toContain(join(tree, 'cpu/site/pod-shop'));
    expect(groups).toHaveLength(4);
  });

  it('refuses a limit that the host cannot keep, and asks nothing of a host without limits', () => {
    put('memory/cgroup.procs');
    const group = join(tree, 'freezer/site/pod-shop');
    const resources = new PodResources(group, {}, tree);
    resources.create();
    expect(() => resources.limit()).not.toThrow();
    expect(() => new PodResources(group, { processes: 24 }, tree).limit()).toThrow(/cannot limit processes/);
    expect(resources.usage()).toBeUndefined();
  });
});

describe('the bytes of an interface', () => {
  const table = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     104       2    0    0    0     0          0         0      104       2    0    0    0     0       0          0
  eth0:123456      30    0    0    0     0          0         0  7890123      40    0    0    0     0       0          0
`;
  it('are the first figure and the ninth', () => {
    expect(parseInterfaceBytes(table, 'eth0')).toEqual({ received: 123_456, sent: 7_890_123 });
    expect(parseInterfaceBytes(table, 'eth1')).toEqual({ received: 0, sent: 0 });
  });
});
