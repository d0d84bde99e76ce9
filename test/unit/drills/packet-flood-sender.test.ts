import { expect, test } from 'vitest';
import { packetFloodArguments, sendPacketFlood } from '../../../core/drills/packet-flood-sender.ts';

const base = { address: '198.18.1.11', port: 80, seconds: 8 };

test('hping3 is bounded by a count, and paced by it', () => {
  expect(packetFloodArguments({ purpose: 'syn-flood', ...base, packetsPerSecond: 1000 })).toEqual(
    '--quiet --numeric --syn --destport 80 --interval u1000 --count 8000 198.18.1.11'.split(' '),
  );
  expect(packetFloodArguments({ purpose: 'icmp-flood', ...base, mbit: 15 })).toEqual(
    '--quiet --numeric --icmp --data 1472 --interval u800 --count 10000 198.18.1.11'.split(' '),
  );
});

test('outside of a lab it is refused before anything is started', async () => {
  const sent = sendPacketFlood(
    { purpose: 'syn-flood', ...base, packetsPerSecond: 1000 },
    new AbortController().signal,
    () => expect.unreachable(),
  );
  await expect(sent).rejects.toMatchObject({ code: 'FLOOD_REFUSED' });
});
