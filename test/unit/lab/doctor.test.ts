import { describe, expect, it } from 'vitest';
import { disk, memory } from '../../../core/cli/doctor/doctor.ts';
import { chromiumBinary, electronBinary, windowRequirements } from '../../../core/cli/doctor/programs.ts';

describe('the doctor', () => {
  it.each([
    [8, 'ok'],
    [2, 'degraded'],
    [1, 'missing'],
  ])('calls %d GiB of memory %s', (gibibytes, state) => {
    expect(memory(gibibytes * 2 ** 30).state).toBe(state);
  });

  it.each([
    [10, 'ok'],
    [2, 'degraded'],
    [0.5, 'missing'],
  ])('calls %d GiB of disk %s', (gibibytes, state) => {
    expect(disk(gibibytes * 2 ** 30).state).toBe(state);
  });

  it('looks for Electron where it is told to, and only for a file', () => {
    expect(electronBinary({ ELECTRON_OVERRIDE_DIST_PATH: '/nowhere' })).toBeNull();
  });

  it('takes the Chromium that it is given', () => {
    expect(chromiumBinary({ CHROMIUM_BIN: '/bin/sh' })).toBe('/bin/sh');
  });

  it('says what to do about everything that is not ok', () => {
    for (const { state, remedy } of windowRequirements({})) expect(remedy === '').toBe(state === 'ok');
  });
});
