import type { MoveError } from '../../../runtime/errors.ts';
import { doorPaths } from '../door-paths.ts';
import { html } from './html.ts';
import { type RenderedPage, renderPage } from './layout.ts';

interface Kind {
  status: number;
  title: string;
  /** What one can do about it, beyond what the error itself says. */
  advice?: string;
}

const notAdmitted: Kind = { status: 403, title: 'Not with this certificate' };
const testAgain: Kind = { status: 403, title: 'This test does not count' };
const away: Kind = {
  status: 504,
  title: 'The service is still on its way',
  advice: 'It is being moved to a safe place, which took longer than usual. Try again in a minute.',
};
const tooMuch: Kind = { status: 503, title: 'Too busy at the moment' };

const kinds: Readonly<Record<string, Kind>> = {
  ADMISSION_REQUIRED: { status: 403, title: 'Who goes there?' },
  ADMISSION_OVER: { status: 403, title: 'Your admission has ended' },
  ADMISSION_CLOSED: { status: 403, title: 'Not this way' },
  CERTIFICATE_EXPIRED: { ...notAdmitted, title: 'This certificate has expired' },
  CERTIFICATE_NOT_YET_VALID: { ...notAdmitted, title: 'This certificate is not valid yet' },
  CERTIFICATE_REVOKED: { ...notAdmitted, title: 'This certificate was revoked' },
  CERTIFICATE_FOREIGN: { ...notAdmitted, title: 'This certificate is from somewhere else' },
  CERTIFICATE_OVERREACHED: notAdmitted,
  ROLE_DENIED: { ...notAdmitted, advice: 'Use a certificate that was issued to a person.' },
  SCOPE_DENIED: { status: 403, title: 'Not this service' },
  ADDRESS_DENIED: { status: 403, title: 'Not from this address' },
  ACCESS_POINT_DENIED: { status: 403, title: 'Not at this access point' },
  CHALLENGE_WRONG: { ...testAgain, title: 'That was not it' },
  CHALLENGE_UNKNOWN: testAgain,
  CHALLENGE_EXPIRED: testAgain,
  CHALLENGE_ADDRESS: testAgain,
  CHALLENGE_WORK_MISSING: testAgain,
  CHALLENGE_KIND_OFF: { status: 403, title: 'The test is not set in this form' },
  CHALLENGE_RATE_LIMITED: { status: 429, title: 'Too many tests' },
  CHALLENGES_EXHAUSTED: tooMuch,
  ADMISSION_REFUSED: { status: 403, title: 'That was not right' },
  ADMISSION_PAUSED: { status: 429, title: 'Too many attempts' },
  ADMISSION_BUSY: tooMuch,
  OVERLAY_NODE_FLOODED: { status: 503, title: 'Another access point, please' },
  TOO_MANY_SESSIONS: tooMuch,
  TOO_MANY_VISITORS: tooMuch,
  TOO_MANY_CONNECTIONS: tooMuch,
  HOST_UNKNOWN: { status: 421, title: 'Nobody of that name here' },
  PAGE_UNKNOWN: { status: 404, title: 'There is no such page' },
  METHOD_DENIED: { status: 405, title: 'Not by this method' },
  REQUEST_INVALID: { status: 400, title: 'This request cannot be used' },
  REQUEST_FOREIGN: { status: 403, title: 'This came from another page' },
  SERVICE_WORKER_DENIED: { status: 403, title: 'No service worker here' },
  SERVICE_NOT_FOUND: { status: 502, title: 'The service is not running' },
  SERVICE_MOVING: away,
  PARKED_TOO_LONG: away,
  DEADLINE_EXCEEDED: away,
  SERVICE_BROKE_OFF: {
    status: 502,
    title: 'The service hung up',
    advice:
      'It closed the connection without an answer. Try again; if it happens again, tell the administrator.',
  },
  INTERNAL: { status: 500, title: 'Something went wrong here' },
};

const unreachable: Kind = {
  status: 502,
  title: 'The service cannot be reached',
  advice: 'Try again in a moment.',
};

/** What a person sees instead of what was asked for: what happened, what to do, and a code for the administrator. */
export function errorPage(
  error: MoveError,
  context: { canTakeTest: boolean; hasOtherServices: boolean } = {
    canTakeTest: false,
    hasOtherServices: false,
  },
): RenderedPage {
  const kind = kinds[error.code] ?? unreachable;
  const retryAfterMs = Number(error.details.retryAfterMs ?? 0);
  const tone = kind.status === 403 ? 'attack' : 'decision';
  const body = html`<section>
<p class="mark ${tone}">${error.code === 'INTERNAL' ? 'The access point failed to answer; its log has the full story.' : error.message}</p>
${kind.advice ? html`<p>${kind.advice}</p>` : null}
${context.canTakeTest ? html`<p><a class="button" href="${doorPaths.humanTest}">Take the test</a></p>` : null}
${context.hasOtherServices ? html`<p><a class="button plain" href="${doorPaths.portal}">See what you may reach</a></p>` : null}
<p class="second">Code <code>${error.code}</code></p>
</section>`;
  return renderPage(
    { status: kind.status, title: kind.title, body },
    {
      'x-move-error': error.code,
      ...(kind.status === 405 ? { allow: 'GET, HEAD' } : {}),
      ...(retryAfterMs > 0 ? { 'retry-after': String(Math.ceil(retryAfterMs / 1000)) } : {}),
    },
  );
}
