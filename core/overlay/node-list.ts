import { verify, X509Certificate } from 'node:crypto';
import { z } from 'zod';
import { type NodeList, nodeListSchema, nodeListStatement } from '../contract/node-list.ts';
import { canonicalJson } from '../runtime/canonical-json.ts';
import { MoveError } from '../runtime/errors.ts';
import { clockToleranceMs } from './location-record.ts';

/** Under which name the authority signs the list, so that its signature fits nothing else. */
export const nodeListPurpose = 'move-node-list-1';

export interface NodeListTrust {
  /** The authority's certificates, PEM; one of them must have signed. */
  trustPem: readonly string[];
  /** Milliseconds since the epoch. */
  now: number;
}

/**
 * Checks a list of overlay nodes: its form, the authority's signature (ECDSA P-256 with SHA-256, IEEE P1363, over
 * {@link nodeListPurpose}, a line feed and the canonical JSON of the list without its signature), and its dates.
 * @throws MoveError `NODE_LIST_INVALID` (the message says which check failed) or `NODE_LIST_EXPIRED`.
 */
export function verifyNodeList(candidate: unknown, trust: NodeListTrust): NodeList {
  const parsed = nodeListSchema.safeParse(candidate);
  if (!parsed.success) throw invalid(`it is malformed: ${z.prettifyError(parsed.error)}`);
  const list = parsed.data;
  const signed = Buffer.from(`${nodeListPurpose}\n${canonicalJson(nodeListStatement(list))}`);
  const signature = Buffer.from(list.signature, 'base64');
  const authentic = trust.trustPem
    .map((pem) => new X509Certificate(pem))
    .some(
      ({ ca, publicKey }) =>
        ca &&
        publicKey.asymmetricKeyType === 'ec' &&
        verify('sha256', signed, { key: publicKey, dsaEncoding: 'ieee-p1363' }, signature),
    );
  if (!authentic) throw invalid("the authority's signature is wrong");
  if (list.issuedAt > trust.now + clockToleranceMs) throw invalid('it is dated in the future');
  if (list.expiresAt <= trust.now) {
    throw new MoveError('NODE_LIST_EXPIRED', 'The list of overlay nodes has expired; ask for a newer one.', {
      version: list.version,
      expiresAt: list.expiresAt,
    });
  }
  return list;
}

/** Of two lists that were both verified the one with the higher version: a replayed older one never wins. */
export function newerNodeList(known: NodeList | undefined, candidate: NodeList): NodeList {
  return known !== undefined && known.version >= candidate.version ? known : candidate;
}

function invalid(why: string): MoveError {
  return new MoveError('NODE_LIST_INVALID', `This list of overlay nodes is not to be believed: ${why}.`);
}
