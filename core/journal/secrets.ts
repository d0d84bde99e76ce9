import { MoveError } from '../runtime/errors.ts';

const PASSWORDS = new Set(['password', 'passwords', 'passphrase', 'passphrases', 'passwd']);
const ENDINGS = new Set(['key', 'keys', 'secret', 'secrets', 'token', 'tokens', 'pkcs12', 'pfx', 'p12']);
/** Names that end like a secret but hold what anybody may know. */
const HARMLESS_BEFORE = new Set(['public', 'primary', 'foreign', 'sort', 'host']);
const PRIVATE_PEM = /-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----/;

/**
 * Refuses data that looks as if it held a secret: a name such as `key`, `privateKey`, `passphrase`,
 * `password`, `token` or `privatePem` whose value is not merely yes or no, or any text with a private key in
 * PEM. What the journal holds is exported, replayed and shown to people, and can never be taken out again.
 * @throws MoveError `JOURNAL_SECRET_REFUSED`; its details name the place and never the value.
 */
export function refuseSecrets(data: unknown, type: string): void {
  const path = findSecret(data, 'data');
  if (path === null) return;
  throw new MoveError(
    'JOURNAL_SECRET_REFUSED',
    `A journal record of type ${type} would hold a secret at ${path}. Leave it out, or write a fingerprint instead.`,
    { type, path },
  );
}

function findSecret(value: unknown, path: string): string | null {
  if (typeof value === 'string') return PRIVATE_PEM.test(value) ? path : null;
  if (typeof value !== 'object' || value === null) return null;
  for (const [name, member] of Object.entries(value)) {
    const place = Array.isArray(value) ? `${path}[${name}]` : `${path}.${name}`;
    const says = member !== null && member !== undefined && typeof member !== 'boolean';
    if (says && !Array.isArray(value) && isSecretName(name)) return place;
    const inner = findSecret(member, place);
    if (inner !== null) return inner;
  }
  return null;
}

/** Whether a property's name announces a secret. Reads camelCase, snake_case and kebab-case. */
export function isSecretName(name: string): boolean {
  const words = name
    .replace(/([a-z0-9])([A-Z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter((word) => word !== '');
  const last = words.at(-1) ?? '';
  const before = words.at(-2) ?? '';
  if (words.some((word) => PASSWORDS.has(word))) return true;
  if (words.includes('private') && (words.includes('pem') || words.includes('key'))) return true;
  if (words.join('') === 'privatekey' || words.join('') === 'privatepem') return true;
  return ENDINGS.has(last) && !HARMLESS_BEFORE.has(before);
}
