import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { shellWords } from '../../../core/lab/exec.ts';
import type { LabHost } from '../../../core/lab/manifest.ts';
import { labPaths } from '../../../core/lab/paths.ts';
import { catalogue, catalogueBytes, leaflet, leafletBytes } from '../../../core/lab/sample-storage.ts';
import { clientConfig, sshdConfig } from '../../../core/lab/ssh-files.ts';

const host = (name: string, role: LabHost['role'], address: string, viaStone?: string): LabHost => ({
  name,
  role,
  ssh: { address, port: 22 },
  ...(viaStone ? { viaStone } : {}),
  addresses: role === 'site' ? { primary: '198.18.1.11', secondary: address } : { global: address },
  interfaces: {},
  rateMbit: {},
  netnsInode: 1,
});

describe('shell words', () => {
  it('arrive as they were given', () => {
    expect(shellWords(['echo', "it's", '$HOME', ''])).toBe("echo 'it'\\''s' '$HOME' ''");
  });
});

describe('the sshd of a site', () => {
  it('never listens on the primary address', () => {
    const text = sshdConfig(host('a1', 'site', '10.1.0.11'));
    expect(text).toContain('ListenAddress 10.1.0.11');
    expect(text).not.toContain('198.18.1.11');
    expect(text).not.toContain('0.0.0.0');
  });
});

describe('the client configuration', () => {
  it('reaches sites through their stone and stones through the admin host', () => {
    const hosts = Object.fromEntries(
      [
        host('admin', 'admin', '198.18.103.1'),
        host('stone-a', 'stone', '10.1.0.200'),
        host('a1', 'site', '10.1.0.11', 'stone-a'),
        host('node-1', 'overlay', '198.18.100.1'),
      ].map((each) => [each.name, each]),
    );
    const text = clientConfig({
      bridgeSocket: '/b',
      sshKeyPath: '/k',
      sshConfigPath: '/c',
      knownHostsPath: '/h',
      hosts,
    });
    expect(text).toContain('ProxyCommand ssh -F "/c" -W 10.1.0.11:22 stone-a');
    expect(text).toContain(
      'ProxyCommand ssh -F "/c" admin socat - UNIX-CONNECT:/run/move/stones/stone-a.sock',
    );
    expect(text).toContain('ProxyCommand ssh -F "/c" -W 198.18.100.1:22 admin');
    expect(text).toContain('ProxyCommand socat - "UNIX-CONNECT:/b"');
  });
});

describe('the sample storage', () => {
  it('is the same on every machine', () => {
    expect(catalogue()).toHaveLength(catalogueBytes);
    expect(leaflet()).toHaveLength(leafletBytes);
    const digest = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
    expect(digest(catalogue())).toBe('7cd2c6ab7cc3918a6ff662fc708a01dadc07f112925cc9538a2a6b465bcc3c68');
    expect(catalogue().subarray(0, 1024).equals(Buffer.alloc(1024))).toBe(false);
  });
});

describe('paths', () => {
  it('refuse a home that no socket fits below', () => {
    expect(() => labPaths(`/${'x'.repeat(100)}`)).toThrowError(/too long/);
  });
});
