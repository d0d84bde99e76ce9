import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { requestCommand } from '../../../core/contract/request-command.ts';
import { type Authority, createAuthority } from '../../../core/credentials/authority.ts';
import { runProgram } from '../../../core/runtime/process.ts';
import { PASSPHRASE, temporaryDirectory, withCode } from './helpers.ts';

const directory = temporaryDirectory();
const at = (name: string) => join(directory.path, name);
let authority: Authority;

beforeAll(async () => {
  authority = await createAuthority({ directory: at('authority'), passphrase: PASSPHRASE });
  writeFileSync(at('trust.pem'), authority.certificatePem);
});
afterAll(() => {
  authority.close();
  directory.remove();
});

const shell = (command: string) =>
  runProgram('sh', ['-c', command], { timeoutMs: 10_000, cwd: directory.path });

describe.skipIf(!existsSync('/usr/bin/openssl'))(
  'a request made by the command that people are shown',
  () => {
    it.each([
      ['ada', 'Ada Example'],
      ['quoted', "Grace O'Neill"],
      ['other', 'Jürgen Groß +1'],
    ])('%s: is signed, verifies, and is on the revocation list when it is revoked', async (file, name) => {
      expect(await shell(requestCommand(name, file))).toMatchObject({ code: 0 });
      const issued = await authority.issue({
        profile: 'client',
        name,
        services: ['shop.example'],
        key: { requestPem: readFileSync(at(`${file}.request.pem`), 'utf8') },
      });
      writeFileSync(at(`${file}.pem`), issued.certificatePem);
      const verify = await shell(
        `openssl verify -x509_strict -purpose sslclient -CAfile trust.pem ${file}.pem`,
      );
      expect(verify.stdout).toBe(`${file}.pem: OK\n`);
      // The key that stayed at home belongs to it.
      const keys = await shell(
        `openssl x509 -in ${file}.pem -noout -pubkey > ${file}.a && openssl pkey -in ${file}.key.pem -pubout > ${file}.b && cmp ${file}.a ${file}.b`,
      );
      expect(keys.code).toBe(0);
      await authority.revoke(issued.identity.serial, 'keyCompromise');
      writeFileSync(at('list.pem'), await authority.certificateRevocationList());
      const list = await shell('openssl crl -in list.pem -CAfile trust.pem -noout -text 2>&1');
      expect(list.stdout).toContain('verify OK');
      expect(list.stdout).toContain(`Serial Number: ${issued.identity.serial}`);
      const refused = await shell(
        `openssl verify -crl_check -CRLfile list.pem -CAfile trust.pem ${file}.pem 2>&1`,
      );
      expect(refused.stdout).toContain('certificate revoked');
    });

    it('is not signed for another name', async () => {
      await expect(
        authority.issue({
          profile: 'client',
          name: 'Somebody Else',
          services: ['shop.example'],
          key: { requestPem: readFileSync(at('ada.request.pem'), 'utf8') },
        }),
      ).rejects.toThrow(withCode('REQUEST_INVALID'));
    });
  },
);
