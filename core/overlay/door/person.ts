import { X509Certificate } from 'node:crypto';
import type { Clock } from '../../runtime/clock.ts';
import { MoveError, toMoveError } from '../../runtime/errors.ts';
import type { AdmissionDesk } from '../admission/admission-desk.ts';
import type { VisitorSession } from '../admission/visitor-sessions.ts';
import type { Authorise, OverlayIdentity } from '../identity.ts';
import { admissionCookie, cookieValue } from './cookies.ts';

/** Somebody who is admitted, by a certificate that they hold or by one that is kept for their browser. */
export interface Person {
  identity: OverlayIdentity;
  /** Milliseconds since the epoch. */
  until: number;
  /** Throws when they are not welcome any more. */
  judge(): void;
  /** For a browser that was admitted without a certificate of its own. */
  visit: { secret: string; session: VisitorSession } | null;
}

interface Asking {
  certificate: X509Certificate | undefined;
  address: string;
  cookie: string | undefined;
}

/**
 * Who asks. A certificate goes first, because it says more; a session counts beside one that is not good any more.
 * @throws MoveError `ADMISSION_REQUIRED` for a stranger, `ADMISSION_OVER` for a visitor whose time is over; what
 * `authorise` says of the certificate; `ROLE_DENIED`, `ADDRESS_DENIED`.
 */
export function identify(
  asking: Asking,
  parts: { authorise: Authorise; desk: AdmissionDesk | undefined; clock: Clock },
): Person {
  const { certificate, address } = asking;
  let objection: MoveError | undefined;
  if (certificate) {
    try {
      return byCertificate(certificate, address, parts.authorise);
    } catch (thrown) {
      objection = toMoveError(thrown);
    }
  }
  const secret = cookieValue(asking.cookie, admissionCookie);
  if (parts.desk && secret !== undefined) {
    const session = parts.desk.visitor(secret, address);
    if (session) return byVisit(secret, session, parts.desk, parts.authorise);
    objection ??= new MoveError(
      'ADMISSION_OVER',
      'The time for which you were admitted is over, or the administrator has ended it. Pass the test again to come back in.',
    );
  }
  throw (
    objection ??
    new MoveError(
      'ADMISSION_REQUIRED',
      'This service is protected, and your browser has shown no certificate. Import the one that the administrator gave you and load the page again, or be admitted at the access point’s own page, /.move/.',
    )
  );
}

function byCertificate(certificate: X509Certificate, address: string, authorise: Authorise): Person {
  const judge = () => {
    const identity = authorise(certificate, { remoteAddress: address });
    if (identity.role === 'client') return identity;
    throw new MoveError('ROLE_DENIED', `${identity.name} is no client but a ${identity.role}.`);
  };
  return { identity: judge(), until: certificate.validToDate.getTime(), judge, visit: null };
}

function byVisit(secret: string, session: VisitorSession, desk: AdmissionDesk, authorise: Authorise): Person {
  const certificate = new X509Certificate(session.credential.certificatePem);
  const judge = () => {
    if (!desk.isHere(session)) throw new MoveError('ADMISSION_OVER', 'This admission has ended.');
    return authorise(certificate, { remoteAddress: session.address });
  };
  return { identity: judge(), until: session.until, judge, visit: { secret, session } };
}
