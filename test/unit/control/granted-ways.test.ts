import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { grantedWays, replaceWaysScript, sshPublicKeySchema } from '../../../core/control/granted-ways.ts';
import { inventoryOf } from '../../../core/control/host-plan.ts';
import { makeFleetKey } from '../../../core/fleet/fleet-key.ts';
import type { FleetManifest } from '../../../core/lab/manifest.ts';

const key = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJmoveconsole';
const host = (name: string, role: string, more: object = {}) => ({ name, role, ...more });
const site = (name: string, stone: string, address: string) =>
  host(name, 'site', { viaStone: stone, ssh: { address, port: 22 } });
const manifest = {
  hosts: {
    admin: host('admin', 'admin'),
    'node-1': host('node-1', 'overlay', { ssh: { address: '198.18.100.1', port: 22 } }),
    'stone-b': host('stone-b', 'stone'),
    'stone-c': host('stone-c', 'stone'),
    b1: site('b1', 'stone-b', '10.2.0.11'),
    c1: site('c1', 'stone-c', '10.3.0.11'),
    c2: site('c2', 'stone-c', '10.3.0.12'),
  },
} as unknown as FleetManifest;

describe('the ways that an organisation is let through', () => {
  it('lead to its sites, and by entry and stones to nothing else', () => {
    const ways = Object.fromEntries(grantedWays(manifest, ['c1', 'c2'], 'the bakery', key));
    const passing = (cases: string) =>
      `restrict,command="case \\"$SSH_ORIGINAL_COMMAND\\" in ${cases} esac; exit 1" ${key} organisation:the%20bakery`;
    expect(ways).toEqual({
      c1: `${key} organisation:the%20bakery`,
      c2: `${key} organisation:the%20bakery`,
      'stone-c': passing(
        "'to c1') exec socat - TCP:10.3.0.11:22,nodelay;; 'to c2') exec socat - TCP:10.3.0.12:22,nodelay;;",
      ),
      admin: passing("'to stone-c') exec socat - UNIX-CONNECT:/run/move/stones/stone-c.sock;;"),
    });
  });

  it('are the ones that its control plane takes', () => {
    const share = { ...manifest, isShare: true, bridgeSocket: '/b', sshUser: 'root', sshKeyPath: '/k' };
    const { hosts } = inventoryOf(share as FleetManifest, 'fingerprint');
    expect(hosts.admin?.reach).toEqual({ kind: 'entry' });
    expect(hosts['stone-c']?.reach).toEqual({ kind: 'passage', from: 'admin', command: 'to stone-c' });
    expect(hosts.c2?.reach).toEqual({ kind: 'passage', from: 'stone-c', command: 'to c2' });
  });

  it('replace what was granted before, and leave the lines of others alone', () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'move-ways-'));
    try {
      mkdirSync(path.join(folder, '.ssh'));
      const file = path.join(folder, '.ssh', 'authorized_keys');
      writeFileSync(
        file,
        "restrict ssh-ed25519 stone\nold-line organisation:it's%20us\nx organisation:library\n",
      );
      const script = replaceWaysScript("it's us").replaceAll('/root', folder);
      execFileSync('sh', ['-c', script], { input: 'new-line\n' });
      expect(readFileSync(file, 'utf8')).toBe(
        'restrict ssh-ed25519 stone\nx organisation:library\nnew-line\n',
      );
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it('take a key of the kind that a home makes, and no line with more in it', () => {
    const { privateKey, publicKey } = makeFleetKey('move-console');
    expect(privateKey).toContain('BEGIN OPENSSH PRIVATE KEY');
    expect(sshPublicKeySchema.parse(`${publicKey}\n`)).toBe(publicKey.split(' ').slice(0, 2).join(' '));
    for (const line of [
      `command="sh" ${publicKey}`,
      `${publicKey}\nssh-ed25519 AAAA`,
      'ssh-rsa AAAAB3NzaC1yc2E',
      'ssh-ed25519 AAAA" x',
      '',
    ])
      expect(sshPublicKeySchema.safeParse(line).success, line).toBe(false);
  });
});
