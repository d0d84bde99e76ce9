import { constants } from 'node:crypto';

/** What the door shows to browsers and whom it knows, all in PEM. */
export interface DoorTlsIdentity {
  certificatePem: string;
  keyPem: string;
  trustPem: readonly string[];
}

/**
 * TLS as browsers meet it: 1.2 and 1.3, a certificate asked for and not insisted on, because who has none gets a
 * page that says what to do. No resumption: a resumed session would bring back a certificate that was judged before.
 */
export function doorTls(identity: DoorTlsIdentity) {
  return {
    cert: identity.certificatePem,
    key: identity.keyPem,
    ca: [...identity.trustPem],
    minVersion: 'TLSv1.2' as const,
    maxVersion: 'TLSv1.3' as const,
    ciphers: [
      'TLS_AES_128_GCM_SHA256',
      'TLS_AES_256_GCM_SHA384',
      'TLS_CHACHA20_POLY1305_SHA256',
      'ECDHE-ECDSA-AES128-GCM-SHA256',
      'ECDHE-ECDSA-AES256-GCM-SHA384',
      'ECDHE-ECDSA-CHACHA20-POLY1305',
    ].join(':'),
    ALPNProtocols: ['h2', 'http/1.1'],
    requestCert: true,
    rejectUnauthorized: false,
    secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
  };
}
