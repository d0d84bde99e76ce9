import ssh2 from 'ssh2';

/** Makes an Ed25519 key to reach hosts with, in OpenSSH's format; the public half is one line. */
export function makeFleetKey(comment: string): { privateKey: string; publicKey: string } {
  const pair = ssh2.utils.generateKeyPairSync('ed25519', { comment });
  return { privateKey: pair.private, publicKey: pair.public };
}
