import { expect, test } from 'vitest';
import { guardedManifestSchema } from '../../../core/drills/lab-manifest-file.ts';
import { judgeTarget } from '../../../core/drills/target-guard.ts';
import { type LabHost, type LabManifest, labManifestSchema } from '../../../core/lab/manifest.ts';

const host = (
  name: string,
  role: LabHost['role'],
  addresses: LabHost['addresses'],
  inode: number,
): LabHost => ({
  name,
  role,
  ssh: { address: '198.18.1.11', port: 22 },
  addresses,
  interfaces: {},
  rateMbit: {},
  netnsInode: inode,
});

/** A manifest as the lab itself writes it. */
const manifest: LabManifest = {
  labId: 'lab-1',
  name: 'default',
  startedAt: '2026-01-01T00:00:00.000Z',
  specHash: 'x',
  keeperPid: 1,
  bridgeSocket: '/x',
  controlSocket: '/x',
  sshKeyPath: '/x',
  sshConfigPath: '/x',
  sshHostKey: 'x',
  sshHostKeyAlias: 'x',
  sshUser: 'root',
  delay: 'delayd',
  hosts: {
    a1: host('a1', 'site', { primary: '198.18.1.11', secondary: '10.1.0.11' }, 4_026_532_100),
    'bot-1': host('bot-1', 'bot', { global: '198.18.66.1' }, 4_026_532_101),
  },
  services: [],
  roundTripMs: {},
};

test("the guard's own reading of the manifest understands what the lab writes", () => {
  const written: unknown = JSON.parse(JSON.stringify(labManifestSchema.parse(manifest)));
  const read = guardedManifestSchema.parse(written);
  expect(read.hosts['bot-1']?.netnsInode).toBe(4_026_532_101);
  const request = { purpose: 'udp-flood', address: '198.18.1.11', port: 80, seconds: 8, mbit: 20 };
  const surroundings = {
    manifest: { text: JSON.stringify(written) },
    namespaceInode: 4_026_532_101,
    localAddresses: ['198.18.66.1'],
  };
  expect(judgeTarget(request, surroundings)).toEqual(request);
});
