import { MoveError } from '../../runtime/errors.ts';

/**
 * The service that a hostname means, when the client's certificate names it; with `any` the access point decides.
 * @throws MoveError `NOT_PROTECTED`.
 */
export function protectedService(services: readonly string[] | 'any', hostname: string): string {
  const service = hostname.toLowerCase().replace(/\.$/, '');
  if (services === 'any' || services.includes(service)) return service;
  throw new MoveError(
    'NOT_PROTECTED',
    `${service} is not a protected service that your certificate allows; reach it without this proxy.`,
    { service },
  );
}
