import { beforeEach, describe, expect, it, vi } from 'vitest';
import { WaitingRoom } from '../../../core/agent/waiting-room.ts';

describe('the waiting room of a site', () => {
  beforeEach(() => {
    vi.useFakeTimers();
    return () => vi.useRealTimers();
  });

  it('keeps nobody waiting who comes for another service or another epoch', async () => {
    const room = new WaitingRoom();
    room.expect('shop.example', 3);
    await room.opened('other.example', 3);
    await room.opened('shop.example', 2);
  });

  it('lets sessions in when it is opened, those who came first first, three at a time', async () => {
    const room = new WaitingRoom();
    room.expect('shop.example', 3);
    const inside: number[] = [];
    for (let visitor = 0; visitor < 7; visitor += 1)
      void room.opened('shop.example', 3).then(() => inside.push(visitor));
    await vi.advanceTimersByTimeAsync(1_000);
    expect(inside).toEqual([]);
    room.open('shop.example');
    await vi.advanceTimersByTimeAsync(0);
    expect(inside).toEqual([0, 1, 2]);
    await vi.advanceTimersByTimeAsync(10);
    expect(inside).toEqual([0, 1, 2, 3, 4, 5]);
    await vi.advanceTimersByTimeAsync(10);
    expect(inside).toEqual([0, 1, 2, 3, 4, 5, 6]);
    await room.opened('shop.example', 3);
  });

  it('tells a session after 4 s that the service still moves, and forgets it', async () => {
    const room = new WaitingRoom();
    room.expect('shop.example', 3);
    const refused = expect(room.opened('shop.example', 3)).rejects.toMatchObject({ code: 'SERVICE_MOVING' });
    await vi.advanceTimersByTimeAsync(3_999);
    let after = false;
    void room.opened('shop.example', 3).then(() => {
      after = true;
    });
    await vi.advanceTimersByTimeAsync(1);
    await refused;
    room.open('shop.example');
    await vi.advanceTimersByTimeAsync(0);
    expect(after).toBe(true);
  });

  it('keeps who waits when the same epoch is announced again', async () => {
    const room = new WaitingRoom();
    room.expect('shop.example', 3);
    let inside = false;
    void room.opened('shop.example', 3).then(() => {
      inside = true;
    });
    room.expect('shop.example', 3);
    room.open('shop.example');
    await vi.advanceTimersByTimeAsync(0);
    expect(inside).toBe(true);
  });
});
