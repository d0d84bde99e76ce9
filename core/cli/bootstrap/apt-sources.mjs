import { execFileSync } from 'node:child_process';
import fs from 'node:fs';

/** The keyring that Debian's own package debian-archive-keyring installs. */
export const archiveKeyring = '/usr/share/keyrings/debian-archive-keyring.gpg';

/**
 * The Debian archives that this machine itself installs from, asked of apt at run time, so that no host
 * name stands in the project and a machine behind a mirror goes on using its mirror.
 * @returns {{uri: string, suite: string, codename: string, component: string}[]}
 */
export function debianArchives() {
  const text = execFileSync(
    'apt-get',
    [
      'indextargets',
      '--format',
      '$(REPO_URI)|$(RELEASE)|$(CODENAME)|$(COMPONENT)|$(ORIGIN)',
      'Created-By: Packages',
    ],
    { encoding: 'utf8', timeout: 30_000 },
  );
  const archives = [...new Set(text.split('\n'))].flatMap((line) => {
    const [uri, suite, codename, component, origin] = line.split('|');
    return uri && suite && codename && component && origin === 'Debian'
      ? [{ uri, suite, codename, component }]
      : [];
  });
  if (archives.length === 0) {
    throw new Error('apt knows no Debian archive: run apt-get update and look at /etc/apt/sources.list');
  }
  return archives;
}

/** One line of a sources.list, signature-checked against Debian's archive keyring. */
export function sourceLine(
  /** @type {string} */ uri,
  /** @type {string} */ suite,
  /** @type {string} */ component,
) {
  return `deb [signed-by=${archiveKeyring}] ${uri} ${suite} ${component}`;
}

/** The code name of the running Debian, for example `bookworm`. */
export function debianCodename() {
  const match = /^VERSION_CODENAME=(\S+)$/m.exec(fs.readFileSync('/etc/os-release', 'utf8'));
  if (!match?.[1]) throw new Error('/etc/os-release names no VERSION_CODENAME: this is not a Debian');
  return match[1];
}
