import { createPrivateKey, X509Certificate } from 'node:crypto';
import fs from 'node:fs';
import { createPkcs12 } from '../credentials/pkcs12.ts';
import { asideOf, replaceDurably } from '../runtime/durable-file.ts';
import { MoveError } from '../runtime/errors.ts';

/** Where a client keeps certificate and key: in one PKCS#12 file or in two PEM files. */
export type IdentityFiles = { pkcs12: string; password: string } | { certificate: string; key: string };

export interface OwnPem {
  certificatePem: string;
  keyPem: string;
}

const longestCredentialFile = 1 << 20;

/**
 * Reads certificate and key. Where a renewal was cut short between the two PEM files, it is finished first.
 * @throws MoveError `FILE_UNREADABLE`.
 */
export function readPemFiles(files: { certificate: string; key: string }): OwnPem {
  const keyPem = readBounded('key', files.key).toString('utf8');
  const certificatePem = readBounded('certificate', files.certificate).toString('utf8');
  const renewed = asideOf(files.certificate);
  if (matches(certificatePem, keyPem) !== false || !fs.existsSync(renewed)) return { certificatePem, keyPem };
  const renewedPem = readBounded('certificate', renewed).toString('utf8');
  if (matches(renewedPem, keyPem) !== true) return { certificatePem, keyPem };
  fs.renameSync(renewed, files.certificate);
  return { certificatePem: renewedPem, keyPem };
}

/** Puts a renewed certificate and its key in place of those before; all files are readable by their owner only. */
export async function replaceIdentityFiles(
  files: IdentityFiles,
  identity: OwnPem & { authorityPem: string },
): Promise<void> {
  const { certificatePem, keyPem, authorityPem } = identity;
  if (!('pkcs12' in files)) {
    await replaceDurably([
      { path: files.key, content: keyPem },
      { path: files.certificate, content: certificatePem },
    ]);
    return;
  }
  const name = /CN=(.*)/.exec(new X509Certificate(certificatePem).subject)?.[1] ?? 'client';
  const content = await createPkcs12({
    privateKey: createPrivateKey(keyPem),
    certificatePem,
    authorityPem,
    friendlyName: `${name} (MOVE)`,
    password: files.password,
  });
  await replaceDurably([{ path: files.pkcs12, content }]);
}

/** A file that a person named by an option. @throws MoveError `FILE_UNREADABLE`. */
export function readBounded(option: string, file: string): Buffer {
  try {
    if (fs.statSync(file).size > longestCredentialFile)
      throw new Error(`it is longer than ${longestCredentialFile} bytes`);
    return fs.readFileSync(file);
  } catch (cause) {
    throw new MoveError(
      'FILE_UNREADABLE',
      `The file for --${option} cannot be read: ${(cause as Error).message}.`,
      { file },
      cause,
    );
  }
}

/** Whether a certificate is for a key; undefined where one of them cannot be read. */
function matches(certificatePem: string, keyPem: string): boolean | undefined {
  try {
    return new X509Certificate(certificatePem).checkPrivateKey(createPrivateKey(keyPem));
  } catch {
    return undefined;
  }
}
