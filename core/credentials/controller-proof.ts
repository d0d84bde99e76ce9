import { createHash, createPrivateKey, randomBytes, sign, X509Certificate } from 'node:crypto';
import { canonicalJson } from '../runtime/canonical-json.ts';
import { MoveError } from '../runtime/errors.ts';
import { readIdentity } from './identity.ts';
import { isSignedBy } from './signed-statement.ts';

/**
 * How an agent and a control plane know each other. Whoever reaches an agent's socket is root on its host, but that is
 * no proof of whose agent it is: several organisations have control planes on one overlay. So the control plane proves
 * that it holds the key of its authority, and the agent that it holds the key which that authority certified for this
 * host. Both sign two fresh numbers and the host's name: an answer is good for one connection to one host.
 */
export interface Meeting {
  host: string;
  controllerNonce: string;
  agentNonce: string;
}

/** Under which name an authority signs that its control plane is there. */
export const controllerPurpose = 'move-controller-1';
const agentPurpose = 'move-agent-1';

/** A number that nobody has used before: 32 random bytes, base64. */
export const newNonce = (): string => randomBytes(32).toString('base64');

/** SHA-256 of a certificate's public key, lower-case hexadecimal: the same for an authority's next certificate. */
export function keyFingerprintOf(certificate: X509Certificate): string {
  const key = certificate.publicKey.export({ type: 'spki', format: 'der' });
  return createHash('sha256').update(key).digest('hex');
}

/** An agent's answer, signed by the key of its host. */
export function proveAgent(meeting: Meeting, keyPem: string): string {
  const bytes = Buffer.from(`${agentPurpose}\n${canonicalJson(meeting)}`);
  return sign('sha256', bytes, { key: createPrivateKey(keyPem), dsaEncoding: 'ieee-p1363' }).toString(
    'base64',
  );
}

/**
 * Checks that it is the agent of that host which answers, by the certificate that this authority gave it. Its dates
 * are not judged: an agent whose certificate has ended gets the next one.
 * @throws MoveError `AGENT_FOREIGN`.
 */
export function checkAgent(
  meeting: Meeting,
  answer: { certificatePem: string; signature: string },
  authority: X509Certificate,
): void {
  const certificate = new X509Certificate(answer.certificatePem);
  const fault =
    !certificate.checkIssued(authority) || !certificate.verify(authority.publicKey)
      ? 'its certificate is of another authority'
      : readIdentity(certificate).name !== meeting.host
        ? `its certificate is that of ${readIdentity(certificate).name}`
        : isSignedBy(certificate.publicKey, agentPurpose, meeting, answer.signature)
          ? null
          : 'it does not hold the key of its certificate';
  if (fault === null) return;
  throw new MoveError(
    'AGENT_FOREIGN',
    `The agent on ${meeting.host} is not one of this control plane: ${fault}. Nothing was asked of it; check who drives that host.`,
    { host: meeting.host, reason: fault },
  );
}

/**
 * Checks that a control plane holds the key of an authority, and that it is the one which an agent obeys (by the
 * fingerprint of its key; null while it obeys nobody). Returns the fingerprint.
 * @throws MoveError `CONTROLLER_UNPROVEN`, `CONTROLLER_DENIED`.
 */
export function checkController(
  meeting: Meeting,
  proof: { authorityPem: string; signature: string },
  obeys: string | null,
): string {
  const authority = readAuthority(proof.authorityPem);
  if (!authority?.ca || !isSignedBy(authority.publicKey, controllerPurpose, meeting, proof.signature))
    throw new MoveError(
      'CONTROLLER_UNPROVEN',
      `The agent on ${meeting.host} does not believe that the control plane holds the key of its authority.`,
      { host: meeting.host },
    );
  const fingerprint = keyFingerprintOf(authority);
  requireObeyed(meeting.host, fingerprint, obeys);
  return fingerprint;
}

/** @throws MoveError `CONTROLLER_DENIED` when the agent of a host obeys another authority than this one. */
export function requireObeyed(host: string | null, fingerprint: string, obeys: string | null): void {
  if (obeys === null || obeys === fingerprint) return;
  throw new MoveError(
    'CONTROLLER_DENIED',
    `The agent on ${host ?? 'this host'} obeys the control plane of another authority, and no other. Use that one, or have the host given to this one.`,
    { host, obeys, asked: fingerprint },
  );
}

function readAuthority(pem: string): X509Certificate | null {
  try {
    return new X509Certificate(pem);
  } catch {
    return null;
  }
}
