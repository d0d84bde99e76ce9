import type { Credential, Visitor } from '../../core/contract/domain.ts';
import type { ConsoleState } from '../../core/contract/state.ts';

/** Whoever is in by a test or a password at a moment, revoked or not; who stays longest comes first. */
export function visitorsAt(visitors: ConsoleState['visitors'], now: number): Visitor[] {
  return Object.values(visitors)
    .filter(({ until }) => until > now)
    .sort((one, other) => other.until - one.until || (one.id < other.id ? -1 : 1));
}

/** Visitors whose name, access point, services, way or serial number hold what was typed. */
export function visitorsMatching(visitors: readonly Visitor[], typed: string): Visitor[] {
  const wanted = typed.trim().toLowerCase();
  return visitors.filter(({ name, accessPoint, services, method, id }) =>
    `${name} ${accessPoint} ${services.join(' ')} ${method} ${id}`.toLowerCase().includes(wanted),
  );
}

/** How many are in a service by the human test: closing it to the test puts them out. */
export function insideByTest(visitors: ConsoleState['visitors'], service: string, now: number): number {
  return visitorsAt(visitors, now).filter(
    ({ method, services, revokedAt }) =>
      method === 'human-test' && revokedAt === null && services.includes(service),
  ).length;
}

/** How many people's certificates open a service now. */
export function certificatesFor(
  credentials: Readonly<Record<string, Credential>>,
  service: string,
  now: number,
): number {
  return Object.values(credentials).filter(
    ({ profile, services, revokedAt, notBefore, notAfter }) =>
      profile === 'client' &&
      revokedAt === null &&
      notBefore <= now &&
      notAfter > now &&
      (services === 'any' || services.includes(service)),
  ).length;
}

/** How long a pass may be chosen to last, minutes, with what it lasts now. */
export function passMinutes(present: number): number[] {
  return [...new Set([5, 15, 30, 60, 120, 480, 1_440, present])].sort((a, b) => a - b);
}

/** The secret in the address that an authenticator program takes, in groups of four that can be typed. */
export function secretToType(otpauth: string): string {
  const secret = new URL(otpauth).searchParams.get('secret') ?? '';
  return (secret.match(/.{1,4}/g) ?? []).join(' ');
}
