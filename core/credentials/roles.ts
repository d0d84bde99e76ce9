/** The roles that a certificate can carry (`move://role/ROLE`). */
export const ROLES = [
  'overlay',
  'site',
  'stone',
  'service',
  'client',
  'agent',
  'console',
  'access-point',
  'door',
  'organisation',
] as const;

export type Role = (typeof ROLES)[number];

export function isRole(text: string): text is Role {
  return (ROLES as readonly string[]).includes(text);
}
