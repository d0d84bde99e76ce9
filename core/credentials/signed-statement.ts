import { type KeyObject, verify, webcrypto } from 'node:crypto';
import { canonicalJson } from '../runtime/canonical-json.ts';
import { MoveError } from '../runtime/errors.ts';

/**
 * Signs a statement that is no certificate: ECDSA P-256 with SHA-256 (IEEE P1363, base64) over the purpose, a line
 * feed and the canonical JSON. The purpose keeps a signature from being taken for one of something else.
 * @throws MoveError `REQUEST_INVALID` when the purpose is none.
 */
export async function signStatement(
  key: webcrypto.CryptoKey,
  purpose: string,
  statement: unknown,
): Promise<string> {
  if (!/^move-[a-z-]+-\d+$/.test(purpose))
    throw new MoveError('REQUEST_INVALID', 'A statement is signed for a purpose such as move-node-list-1.');
  const signature = await webcrypto.subtle.sign(
    { name: 'ECDSA', hash: 'SHA-256' },
    key,
    bytesOf(purpose, statement),
  );
  return Buffer.from(signature).toString('base64');
}

/** Whether a signature of {@link signStatement} is that of a key, for this purpose and this statement. */
export function isSignedBy(key: KeyObject, purpose: string, statement: unknown, signature: string): boolean {
  return (
    key.asymmetricKeyType === 'ec' &&
    verify(
      'sha256',
      bytesOf(purpose, statement),
      { key, dsaEncoding: 'ieee-p1363' },
      Buffer.from(signature, 'base64'),
    )
  );
}

const bytesOf = (purpose: string, statement: unknown) =>
  Buffer.from(`${purpose}\n${canonicalJson(statement)}`);
