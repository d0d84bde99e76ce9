import { expect, it } from 'vitest';
import { Lookup } from '../../../core/ring/lookup.ts';
import type { Peer } from '../../../core/ring/messages.ts';

const peer = (name: string, digit: string): Peer => ({
  identifier: digit.repeat(40),
  name,
  address: `${name}:7400`,
});

it('passes by no owner for being slow, though it was asked to step in haste as a contact', async () => {
  const [before, owner, after] = [peer('before', '2'), peer('owner', '6'), peer('after', 'a')];
  const lists = new Map([
    [before.identifier, [owner, after]],
    [owner.identifier, [after, before]],
    [after.identifier, [before, owner]],
  ]);
  const lookup = new Lookup('4'.repeat(40), {
    start: null,
    contacts: [owner, after],
    ignore: [],
    async step({ identifier }, _key, patient) {
      if (identifier !== before.identifier && !patient) throw new Error('too slow');
      return { successors: lists.get(identifier) ?? [], closer: [] };
    },
    async state({ identifier }) {
      return { predecessor: null, successors: lists.get(identifier) ?? [] };
    },
  });
  expect(await lookup.findOwner()).toMatchObject({ owner, successors: [after, before] });
});
