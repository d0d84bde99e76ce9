import { once } from 'node:events';
import { type AddressInfo, createConnection, createServer, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { orphansInFlight, settleInFlight } from '../../../core/pods/in-flight.ts';

const pod = ['100.64.0.2', '100.64.0.3'];
const line = (local: string, remote: string, state: string, queued: string, inode: string) =>
  `   1: ${local} ${remote} ${state} ${queued}:00000000 01:00000015 00000000     0        0 ${inode} 2 0000000000000000`;
const inside = ['02004064:0050', '03004064:C9E8'] as const;
const count = (...lines: string[]) =>
  orphansInFlight(['  sl  local_address …', ...lines, ''].join('\n'), pod);

it('counts what is closed, unread and inside of the pod', () => {
  for (const state of ['04', '09', '0B']) expect(count(line(...inside, state, '00000400', '0'))).toBe(1);
  expect(count(line('0100007F:0050', '0100007F:C9E8', '04', '00000001', '0'))).toBe(1);
  expect(count(line(...inside, '04', '00000400', '0'), line(...inside, '04', '00000001', '0'))).toBe(2);
});

it.each([
  ['a process still has', line(...inside, '04', '00000400', '77')],
  ['is still open', line(...inside, '01', '00000400', '0')],
  ['has nothing on its way', line(...inside, '04', '00000000', '0')],
  ['waits out its time', line(...inside, '06', '00000400', '0')],
  ['leads out of the pod', line('02004064:0050', '0B0112C6:C9E8', '04', '00000400', '0')],
])('leaves out what %s', (_title, row) => {
  expect(count(row)).toBe(0);
});

it('sees in this kernel what one end has closed and the other has not read, and waits until it has', async () => {
  const server = createServer({ allowHalfOpen: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const reader = createConnection({ port: (server.address() as AddressInfo).port, host: '127.0.0.1' });
  reader.pause();
  const [writer] = (await once(server, 'connection')) as [Socket];
  try {
    // How much the kernel takes is the kernel's affair: as much as it has room for, and then it owes it.
    const piece = Buffer.alloc(1 << 16);
    let taken = 0;
    const takes = () =>
      Promise.race([
        new Promise<boolean>((resolve) => writer.write(piece, () => resolve(true))),
        delay(100).then(() => false),
      ]);
    while (await takes()) taken += piece.length;
    writer.destroy();
    await once(writer, 'close');
    const before = await settleInFlight(process.pid, [], 20);
    expect(before.first).toBeGreaterThan(0);
    expect(before.left).toBeGreaterThan(0);
    let read = 0;
    reader.on('data', (chunk: Buffer) => {
      read += chunk.length;
    });
    const ended = once(reader, 'end');
    reader.resume();
    const after = await settleInFlight(process.pid, [], 5_000);
    expect(after.left).toBe(0);
    await ended;
    expect(taken).toBeGreaterThan(0);
    expect(read).toBeGreaterThanOrEqual(taken);
  } finally {
    reader.destroy();
    server.close();
  }
});
