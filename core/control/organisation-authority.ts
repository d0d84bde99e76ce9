import { join } from 'node:path';
import { adoptCertificate, readOperator, writeAuthorityRequest } from '../credentials/authority-files.ts';
import { MoveError } from '../runtime/errors.ts';
import { prepareHome } from './control-home.ts';
import { lockHome } from './home-lock.ts';
import { readPassphrase } from './passphrase.ts';
import { fleetKeyOf, writeShare } from './shared-overlay.ts';

/**
 * Makes the key of an organisation's authority in a home that has no authority yet, and returns the request that the
 * operator of the overlay signs, and the public half of the key by which its control plane reaches its sites. Asked
 * again, it returns the same.
 * @throws MoveError `AUTHORITY_EXISTS`, `HOME_UNUSABLE`, `CONTROL_RUNNING` while a control plane runs there.
 */
export function requestAuthority(
  home: string,
  name: string,
): Promise<{ requestPem: string; sshKey: string }> {
  return inHome(home, async (directory, passphrase) => ({
    requestPem: await writeAuthorityRequest(directory, passphrase, name),
    sshKey: await fleetKeyOf(home),
  }));
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

/**
 * Takes up the part of an overlay that its operator shares with the organisation of this home. A control plane that
 * runs already attaches to it by itself when it has had none before.
 * @throws MoveError `SHARE_INVALID`, `AUTHORITY_MISSING` when the home is no organisation's, `HOME_UNUSABLE`.
 */
export async function attachOverlay(
  home: string,
  text: string,
): Promise<{ overlay: string; sites: string[] }> {
  prepareHome(home);
  if (!(await readOperator(join(home, 'authority'))))
    throw new MoveError(
      'AUTHORITY_MISSING',
      'The authority of this home is no organisation\'s. Take up its certificate with "organisation adopt" first.',
    );
  const { name, hosts } = await writeShare(home, text);
  const sites = Object.values(hosts).flatMap((host) => (host.role === 'site' ? [host.name] : []));
  return { overlay: name, sites: sites.sort() };
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
