import { describe, expect, it } from 'vitest';
import { blockerOf } from '../../../core/pods/blockers.ts';
import { podPaths } from '../../../core/pods/pod-paths.ts';
import { apacheCommand, checkPodSpec, storageOnHost } from '../../../core/pods/pod-spec.ts';
import type { PodSpec, StoragePaths } from '../../../core/pods/port.ts';

const spec: PodSpec = {
  id: 'shop',
  service: 'shop.example',
  image: 'apache',
  command: apacheCommand,
  ports: [80],
  storage: [{ mountPoint: '/var/www/html', name: 'docroot' }],
  hostname: 'shop',
  probe: { kind: 'http', path: '/', port: 80 },
};

describe('checkPodSpec', () => {
  it('takes an ordinary pod', () => {
    expect(() => checkPodSpec(spec)).not.toThrow();
  });

  const bad: [string, Partial<PodSpec>][] = [
    ['an id that leaves its directory', { id: '../x' }],
    ['an upper-case id', { id: 'Shop' }],
    ['an image that is a path', { image: '../../etc' }],
    ['no command', { command: [] }],
    ['a port out of range', { ports: [70000] }],
    ['a probe with a line break', { probe: { kind: 'http', path: '/\r\nHost: x', port: 80 } }],
    ['first bytes without an end', { probe: { kind: 'tcp', firstBytes: 'x'.repeat(300), port: 80 } }],
    ['a mount point with a way up', { storage: [{ mountPoint: '/var/../etc', name: 'docroot' }] }],
    ['a mount point criu would misread', { storage: [{ mountPoint: '/a]:b', name: 'docroot' }] }],
    ['a storage that takes the gateway’s name', { storage: [{ mountPoint: '/a', name: 'gateway' }] }],
    [
      'two storages of one name',
      {
        storage: [
          { mountPoint: '/a', name: 'x' },
          { mountPoint: '/b', name: 'x' },
        ],
      },
    ],
    ['an address with a command in it', { serviceAddress: '10.0.0.1; reboot' }],
    ['one address for both ends', { serviceAddress: '100.64.0.3' }],
    ['a host name with a space', { hostname: 'a b' }],
  ];
  it.each(bad)('refuses %s', (_, change) => {
    expect(() => checkPodSpec({ ...spec, ...change })).toThrowError(
      expect.objectContaining({ code: 'POD_SPEC_INVALID' }),
    );
  });
});

describe('storageOnHost', () => {
  it('pairs by name and misses none', () => {
    expect(storageOnHost(spec, { docroot: '/srv/a' })).toEqual([
      { name: 'docroot', mountPoint: '/var/www/html', hostPath: '/srv/a' },
    ]);
    const unusable: StoragePaths[] = [{}, { docroot: 'relative' }];
    for (const paths of unusable) {
      expect(() => storageOnHost(spec, paths)).toThrowError(
        expect.objectContaining({ code: 'POD_STORAGE_MISSING' }),
      );
    }
  });
});

describe('podPaths', () => {
  const config = {
    stateDir: '/s',
    runDir: '/r',
    imagesDir: '/i',
    criuHome: '/c',
    gatewayPath: '/g',
    shimPath: '/n',
    cgroupRoot: '/f',
  };
  it('names links within the kernel’s 15 characters, apart for every host and pod', () => {
    const names = [
      podPaths(config, 'shop').link,
      podPaths(config, 'shop-2').link,
      podPaths({ ...config, stateDir: '/t' }, 'shop').link,
    ];
    expect(new Set(names).size).toBe(3);
    for (const name of names) expect(name).toMatch(/^mvp[0-9a-f]{10}$/);
  });
});

describe('blockerOf', () => {
  it('knows what cannot be carried and lets the rest be', () => {
    expect(blockerOf('anon_inode:[io_uring]', 'x')?.code).toBe('CHECKPOINT_IO_URING');
    expect(blockerOf('anon_inode:inotify', 'x')?.code).toBe('CHECKPOINT_INOTIFY');
    expect(blockerOf('/dev/tty', 'sh')?.code).toBe('CHECKPOINT_TERMINAL');
    for (const fine of [
      'anon_inode:[eventpoll]',
      'anon_inode:[signalfd]',
      'socket:[1]',
      '/dev/null',
      '/tmp/a',
    ]) {
      expect(blockerOf(fine, 'x')).toBeUndefined();
    }
  });

  it('lets a pod have terminals of its own, but none that others hold as well', () => {
    expect(blockerOf('/dev/pts/1', 'bash')?.code).toBe('CHECKPOINT_TERMINAL');
    expect(blockerOf('/dev/pts/1', 'bash', true)).toBeUndefined();
    expect(blockerOf('/dev/pts/ptmx', 'xterm', true)).toBeUndefined();
    expect(blockerOf('/dev/tty', 'sh', true)?.code).toBe('CHECKPOINT_TERMINAL');
  });
});
