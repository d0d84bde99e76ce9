import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runProgram } from '../../core/runtime/process.ts';
import { chromiumPath } from './chromium.ts';

/** Why no browser with a certificate of its own can be run here, or null. */
export function certifiedBrowserImpossible(): string | null {
  const missing = [chromiumPath, '/usr/bin/certutil', '/usr/bin/pk12util'].filter(
    (file) => !existsSync(file),
  );
  return missing.length > 0 ? `needs ${missing.join(', ')}` : null;
}

/** A home in which Chromium trusts an authority and holds the certificate of a PKCS#12 file, as a person imports them. */
export async function chromiumHome(parts: {
  directory: string;
  trustFile: string;
  pkcs12File?: string;
  passwordFile?: string;
  /** `https://host:port` where it shows the certificate without asking. */
  origin: string;
}): Promise<string> {
  const home = parts.directory;
  const store = join(home, '.pki/nssdb');
  mkdirSync(store, { recursive: true, mode: 0o700 });
  const run = async (program: string, args: readonly string[]) => {
    const result = await runProgram(program, [...args], { timeoutMs: 20_000 });
    if (result.code !== 0) throw new Error(`${program}: ${result.stderr}${result.stdout}`);
  };
  const database = `sql:${store}`;
  await run('certutil', ['-N', '-d', database, '--empty-password']);
  await run('certutil', ['-A', '-d', database, '-n', 'MOVE', '-t', 'CT,C,', '-i', parts.trustFile]);
  if (parts.pkcs12File && parts.passwordFile)
    await run('pk12util', ['-i', parts.pkcs12File, '-d', database, '-w', parts.passwordFile, '-K', '']);
  const profile = join(home, 'profile/Default');
  mkdirSync(profile, { recursive: true, mode: 0o700 });
  writeFileSync(
    join(profile, 'Preferences'),
    JSON.stringify({
      profile: {
        content_settings: {
          exceptions: {
            auto_select_certificate: {
              [`${parts.origin},*`]: { setting: { filters: [{}] } },
            },
          },
        },
      },
    }),
  );
  return home;
}

/** Opens a page by the real Chromium and returns what stands in it. */
export async function chromiumDom(
  home: string,
  url: string,
  args: readonly string[] = [],
): Promise<{ code: number | null; dom: string; stderr: string }> {
  const result = await runProgram(
    chromiumPath,
    [
      '--headless=new',
      ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
      '--disable-gpu',
      '--disable-dev-shm-usage',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--no-first-run',
      `--user-data-dir=${join(home, 'profile')}`,
      '--timeout=8000',
      '--dump-dom',
      ...args,
      url,
    ],
    { timeoutMs: 40_000, env: { ...process.env, HOME: home } },
  );
  return { code: result.code, dom: result.stdout, stderr: result.stderr };
}
