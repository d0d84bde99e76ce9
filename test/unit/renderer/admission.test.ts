import { describe, expect, it } from 'vitest';
import type { Credential, Visitor } from '../../../core/contract/domain.ts';
import {
  certificatesFor,
  insideByTest,
  passMinutes,
  secretToType,
  visitorsAt,
  visitorsMatching,
} from '../../../renderer/model/admission.ts';

const now = 1_000_000;
const visitor = (id: string, more: Partial<Visitor> = {}): Visitor => ({
  id,
  name: `visitor ${id}`,
  method: 'human-test',
  accessPoint: 'node-4',
  services: ['shop.example'],
  until: now + 1_000,
  revokedAt: null,
  ...more,
});
const byId = <T extends { id: string }>(...all: T[]) => Object.fromEntries(all.map((one) => [one.id, one]));

describe('visitors', () => {
  it('are those whose time is not over, who stays longest first', () => {
    const all = byId(
      visitor('a', { until: now }),
      visitor('b'),
      visitor('c', { until: now + 9_000, revokedAt: now - 1 }),
    );
    expect(visitorsAt(all, now).map(({ id }) => id)).toEqual(['c', 'b']);
  });

  it('are found by name, place, service, way and serial', () => {
    const all = [
      visitor('aa'),
      visitor('bb', { name: 'Dorothy', method: 'password', accessPoint: 'node-2' }),
    ];
    const found = (typed: string) => visitorsMatching(all, typed).map(({ id }) => id);
    expect(found('')).toEqual(['aa', 'bb']);
    expect(found(' dorothy ')).toEqual(['bb']);
    expect(found('NODE-4')).toEqual(['aa']);
    expect(found('password')).toEqual(['bb']);
    expect(found('nowhere')).toEqual([]);
  });

  it('are put out by closing a service to the test when they are in it by the test, and not revoked', () => {
    const all = byId(
      visitor('a'),
      visitor('b', { method: 'password' }),
      visitor('c', { services: ['wiki.example'] }),
      visitor('d', { revokedAt: now - 5 }),
      visitor('e', { until: now - 5 }),
      visitor('f', { services: ['wiki.example', 'shop.example'] }),
    );
    expect(insideByTest(all, 'shop.example', now)).toBe(2);
  });
});

describe('certificates that open a service', () => {
  const credential = (id: string, more: Partial<Credential> = {}): Credential => ({
    id,
    name: id,
    profile: 'client',
    services: 'any',
    notBefore: now - 10,
    notAfter: now + 10,
    revokedAt: null,
    reason: null,
    fingerprint256: '',
    ...more,
  });

  it('are those of people, good now, for it or for any', () => {
    const all = byId(
      credential('any'),
      credential('own', { services: ['shop.example'] }),
      credential('other', { services: ['wiki.example'] }),
      credential('site', { profile: 'site' }),
      credential('revoked', { revokedAt: now }),
      credential('ended', { notAfter: now }),
      credential('early', { notBefore: now + 1 }),
    );
    expect(certificatesFor(all, 'shop.example', now)).toBe(2);
  });
});

describe('what is offered and shown', () => {
  it('has what is set now among the lengths of a pass, once and in order', () => {
    expect(passMinutes(30)).toEqual([5, 15, 30, 60, 120, 480, 1_440]);
    expect(passMinutes(7).slice(0, 3)).toEqual([5, 7, 15]);
  });

  it('parts a secret into fours', () => {
    expect(secretToType('otpauth://totp/MOVE:Ada?secret=ABCDEFGHIJ&issuer=MOVE')).toBe('ABCD EFGH IJ');
  });
});
