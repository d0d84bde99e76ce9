import { join } from 'node:path';
import { adoptCertificate, writeAuthorityRequest } from '../credentials/authority-files.ts';
import { prepareHome } from './control-home.ts';
import { lockHome } from './home-lock.ts';
import { readPassphrase } from './passphrase.ts';

/**
 * Makes the key of an organisation's authority in a home that has no authority yet, and returns the request that the
 * operator of the overlay signs. Asked again, it returns the same.
 * @throws MoveError `AUTHORITY_EXISTS`, `HOME_UNUSABLE`, `CONTROL_RUNNING` while a control plane runs there.
 */
export function requestAuthority(home: string, name: string): Promise<string> {
  return inHome(home, (directory, passphrase) => writeAuthorityRequest(directory, passphrase, name));
}

/**
 * Takes what the operator signed: the home's authority is the organisation's from now on.
 * @throws MoveError `AUTHORITY_EXISTS`, `AUTHORITY_MISSING`, `AUTHORITY_UNREADABLE`, and as {@link requestAuthority}.
 */
export function adoptAuthority(home: string, certificatePem: string, operatorPem: string): Promise<void> {
  return inHome(home, (directory, passphrase) =>
    adoptCertificate(directory, passphrase, certificatePem, operatorPem),
  );
}

async function inHome<T>(
  home: string,
  work: (directory: string, passphrase: string) => Promise<T>,
): Promise<T> {
  prepareHome(home);
  const lock = lockHome(home);
  try {
    return await work(join(home, 'authority'), await readPassphrase(home, process.env));
  } finally {
    lock.release();
  }
}
