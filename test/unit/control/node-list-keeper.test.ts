import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ListedNode, NodeList } from '../../../core/contract/node-list.ts';
import { NodeListKeeper } from '../../../core/control/node-list-keeper.ts';
import { type Authority, createAuthority } from '../../../core/credentials/authority.ts';
import { newerNodeList, verifyNodeList } from '../../../core/overlay/node-list.ts';
import { createTestAuthority } from '../../support/authority.ts';
import { HandClock } from '../../support/hand-clock.ts';
import { DAY, PASSPHRASE, temporaryDirectory, withCode } from '../credentials/helpers.ts';

const node = (name: string): ListedNode => ({ name, address: `192.0.2.1:7400`, identifier: 'ab'.repeat(20) });

let folder: ReturnType<typeof temporaryDirectory>;
let authority: Authority;
let clock: HandClock;
let handed: NodeList[];
const keepers: NodeListKeeper[] = [];

beforeEach(async () => {
  folder = temporaryDirectory();
  clock = new HandClock(Math.floor(Date.now()));
  authority = await createAuthority({ directory: `${folder.path}/authority`, passphrase: PASSPHRASE });
  handed = [];
});
afterEach(() => {
  for (const keeper of keepers.splice(0)) keeper.stop();
  authority.close();
  folder.remove();
});

function keeper(): NodeListKeeper {
  const made = new NodeListKeeper({
    authority,
    directory: folder.path,
    clock,
    log: () => undefined,
    hand: (list) => handed.push(list),
  });
  keepers.push(made);
  return made;
}
const trust = () => ({ trustPem: [authority.certificatePem], now: clock.now() });

describe('the signed list of overlay nodes', () => {
  it('is signed when the set changes, not when its order does, and versions rise over a restart', async () => {
    const first = keeper();
    await first.offer([node('node-1'), node('node-2')]);
    await first.offer([node('node-2'), node('node-1')]);
    expect(handed.map((list) => list.version)).toEqual([1]);
    expect(verifyNodeList(handed[0], trust()).nodes.map(({ name }) => name)).toEqual(['node-1', 'node-2']);
    await first.offer([node('node-1')]);
    first.stop();
    const second = keeper();
    expect(second.current).toBeNull();
    await second.offer([node('node-1')]);
    expect(second.current?.version).toBe(2);
    await second.offer([node('node-3')]);
    expect(handed.map((list) => list.version)).toEqual([1, 2, 2, 3]);
  });

  it('names whoever was revoked, under the signature', async () => {
    const kept = keeper();
    await kept.offer([node('node-1'), node('node-2')]);
    expect(handed[0]).not.toHaveProperty('revoked');
    await kept.offer([node('node-1'), node('node-2')], ['AB', '0C']);
    await kept.offer([node('node-1'), node('node-2')], ['0C', 'AB']);
    expect(handed.map(({ version, revoked }) => [version, revoked])).toEqual([
      [1, undefined],
      [2, ['0C', 'AB']],
    ]);
    expect(verifyNodeList(handed[1], trust()).revoked).toEqual(['0C', 'AB']);
    for (const revoked of [undefined, [], ['0C']])
      expect(() => verifyNodeList({ ...handed[1], revoked }, trust())).toThrow('signature is wrong');
  });

  it('is signed anew when half of its life is over', async () => {
    const kept = keeper();
    await kept.offer([node('node-1')]);
    clock.turn(3.6 * DAY);
    await expect.poll(() => kept.current?.version).toBe(2);
    expect(kept.current!.expiresAt).toBeGreaterThan(handed[0]!.expiresAt);
  });

  it('is not believed when it was changed, is another authority’s, lies in the future, or is over', async () => {
    await keeper().offer([node('node-1')]);
    const [list] = handed as [NodeList];
    const refused = (candidate: unknown, given: Parameters<typeof verifyNodeList>[1], code: string) =>
      expect(() => verifyNodeList(candidate, given)).toThrow(withCode(code));
    refused({ ...list, nodes: [node('node-9')] }, trust(), 'NODE_LIST_INVALID');
    refused({ ...list, version: 7 }, trust(), 'NODE_LIST_INVALID');
    refused({ ...list, note: 'more' }, trust(), 'NODE_LIST_INVALID');
    refused({}, trust(), 'NODE_LIST_INVALID');
    const other = await createTestAuthority();
    refused(list, { ...trust(), trustPem: [other.certificatePem] }, 'NODE_LIST_INVALID');
    refused(list, { ...trust(), now: list.issuedAt - DAY }, 'NODE_LIST_INVALID');
    refused(list, { ...trust(), now: list.expiresAt }, 'NODE_LIST_EXPIRED');
  });

  it('never gives way to an older one', async () => {
    const kept = keeper();
    await kept.offer([node('node-1')]);
    await kept.offer([node('node-2')]);
    const [older, newer] = handed as [NodeList, NodeList];
    expect(newerNodeList(undefined, older)).toBe(older);
    expect(newerNodeList(older, newer)).toBe(newer);
    expect(newerNodeList(newer, older)).toBe(newer);
  });

  it('is signed for its purpose only', async () => {
    await expect(authority.signStatement('anything', {})).rejects.toMatchObject({ code: 'REQUEST_INVALID' });
  });
});
