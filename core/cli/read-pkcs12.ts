import { createPrivateKey, X509Certificate } from 'node:crypto';
import forge from 'node-forge';
import { MoveError } from '../runtime/errors.ts';

const { certBag, pkcs8ShroudedKeyBag, keyBag } = forge.pki.oids;

/**
 * Reads certificate and key out of a PKCS#12 file (RFC 7292), whatever the key's kind.
 * @throws MoveError `PKCS12_UNREADABLE` when the password is wrong or the file is none.
 */
export function readPkcs12(file: Buffer, password: string): { certificatePem: string; keyPem: string } {
  try {
    const asn1 = forge.asn1.fromDer(file.toString('latin1'));
    const container = forge.pkcs12.pkcs12FromAsn1(asn1, false, password);
    const bags = container.safeContents.flatMap((contents) => contents.safeBags);
    const key = bags.find((bag) => bag.type === pkcs8ShroudedKeyBag || bag.type === keyBag);
    if (!key) throw new Error('it holds no key');
    const keyNode = key.key ? forge.pki.wrapRsaPrivateKey(forge.pki.privateKeyToAsn1(key.key)) : key.asn1;
    const privateKey = createPrivateKey({ key: derOf(keyNode), format: 'der', type: 'pkcs8' });
    const certificates = bags
      .filter((bag) => bag.type === certBag)
      .map((bag) => new X509Certificate(derOf(bag.cert ? forge.pki.certificateToAsn1(bag.cert) : bag.asn1)));
    const certificate = certificates.find((candidate) => candidate.checkPrivateKey(privateKey));
    if (!certificate) throw new Error('it holds no certificate for its key');
    // An access point's own authority travels with what it signed; the root is known to the other end.
    const between = certificates.filter(
      (candidate) => candidate.ca && certificate.checkIssued(candidate) && !candidate.checkIssued(candidate),
    );
    return {
      certificatePem: [certificate, ...between].map(String).join(''),
      keyPem: String(privateKey.export({ type: 'pkcs8', format: 'pem' })),
    };
  } catch (cause) {
    throw new MoveError(
      'PKCS12_UNREADABLE',
      `The PKCS#12 file cannot be opened: ${(cause as Error).message}. Check the file and its password.`,
      {},
      cause,
    );
  }
}

function derOf(node: forge.asn1.Asn1): Buffer {
  return Buffer.from(forge.asn1.toDer(node).getBytes(), 'latin1');
}
