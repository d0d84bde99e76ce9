import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { Pkcs10CertificateRequestGenerator, SIGNING_ALGORITHM } from './x509.ts';

/**
 * Makes a P-256 key and a PKCS#10 request for it (RFC 2986), where the key is going to be used: the private
 * half never has to travel. The caller stores it readable by its owner only.
 */
export async function generateKeyAndRequest(
  name: string,
): Promise<{ privateKeyPem: string; publicKeyPem: string; requestPem: string }> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const publicKey = createPublicKey(privateKey);
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256' };
  const request = await Pkcs10CertificateRequestGenerator.create({
    name: [{ CN: [name] }],
    keys: {
      privateKey: privateKey.toCryptoKey(algorithm, false, ['sign']),
      publicKey: publicKey.toCryptoKey(algorithm, true, ['verify']),
    },
    signingAlgorithm: SIGNING_ALGORITHM,
  });
  return {
    privateKeyPem: String(privateKey.export({ type: 'pkcs8', format: 'pem' })),
    publicKeyPem: String(publicKey.export({ type: 'spki', format: 'pem' })),
    requestPem: `${request.toString('pem')}\n`,
  };
}
