/** Where the door's own pages are; no service is asked for anything below. */
export const doorPath = '/.move/';

export const doorPaths = {
  portal: doorPath,
  open: `${doorPath}open`,
  enter: `${doorPath}enter`,
  humanTest: `${doorPath}human-test`,
  password: `${doorPath}password`,
  forwarder: `${doorPath}forwarder`,
  program: `${doorPath}move.mjs`,
  trust: `${doorPath}trust.pem`,
  leave: `${doorPath}leave`,
} as const;
