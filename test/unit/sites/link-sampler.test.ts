import { expect, test } from 'vitest';
import { readDevice, readTable } from '../../../core/sites/attack/link-sample.ts';
import { LinkSampler } from '../../../core/sites/attack/link-sampler.ts';

const devices = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:  100       2    0    0    0     0          0         0      100       2    0    0    0     0       0          0
primary:123456789   4567    0    0    0     0          0         0 987654    321    0    0    0     0       0          0
`;
const snmp = `Ip: Forwarding InReceives InDelivers\nIp: 1 900 800\nIcmpMsg: InType3\nIcmpMsg: 7\nUdp: InDatagrams NoPorts\nUdp: 5 6\nUdpLite: NoPorts\nUdpLite: 9\n`;

test('the counters of a device are found by its whole name, even when they touch the colon', () => {
  expect(readDevice(devices, 'primary')).toEqual({
    receivedBytes: 123_456_789,
    receivedPackets: 4567,
    sentBytes: 987_654,
    sentPackets: 321,
  });
  expect(readDevice(devices, 'prim')).toBeUndefined();
});

test('fields are found by name, and what this kernel does not count is 0', () => {
  expect(readTable(snmp, 'Ip: ', ['InReceives', 'InDelivers', 'ForwDatagrams'])).toEqual([900, 800, 0]);
  expect(readTable(snmp, 'Udp: ', ['NoPorts'])).toEqual([6]);
  expect(readTable(snmp, 'Tcp: ', ['InSegs'])).toEqual([0]);
});

test("this machine's own counters can be read, and grow", () => {
  const sampler = new LinkSampler({ device: 'lo' });
  try {
    const first = sampler.sample();
    const second = sampler.sample();
    expect(second.monotonic).toBeGreaterThan(first.monotonic);
    expect(second.receivedBytes).toBeGreaterThanOrEqual(first.receivedBytes);
    sampler.watchPods([process.pid]);
    expect(sampler.sample().synCookiesSent).toBeGreaterThanOrEqual(first.synCookiesSent);
  } finally {
    sampler.close();
  }
});

test('a device that does not exist is an error that names it', () => {
  const sampler = new LinkSampler({ device: 'nowhere0' });
  expect(() => sampler.sample()).toThrow(expect.objectContaining({ code: 'COUNTERS_UNREADABLE' }));
  sampler.close();
});
