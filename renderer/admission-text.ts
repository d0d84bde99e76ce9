import { count, duration, span } from './format.ts';

/** What stands on the button that copies, and what follows. */
export const copyText = {
  button: 'Copy',
  what: (label: string) => `Copy ${label}`,
  done: 'Copied',
  failed: 'The system did not take it. Select the text and press Ctrl C.',
} as const;

/** How people come into a service: beside its certificates the human test and passwords. */
export const admissionText = {
  title: 'How people come in',
  certificate: 'Certificate',
  certificates: (n: number) =>
    n === 0 ? 'no certificate opens it' : count(n, 'certificate opens it', 'certificates open it'),
  test: 'Human test',
  state: { closed: 'Closed', open: 'Open' },
  inside: (n: number) =>
    n === 0 ? 'nobody is in by it' : count(n, 'visitor is in by it', 'visitors are in by it'),
  lasts: 'A pass lasts',
  sound: 'Sounds as well as letters',
  forAll: 'For every service that is open to it.',
  noSound: 'Who cannot see the letters has no way through the test.',
  password: 'Password',
  nobody: 'nobody has one',
  add: 'Let somebody in',
  asking: 'Asking who may come in',
  failed: 'Who may come in is not known:',
  again: 'Ask again',
  told: (n: number) => `${count(n, 'access point', 'access points')} told.`,
  set: {
    open: (service: string) => `${service} is open to whoever passes the human test.`,
    closed: (service: string) => `${service} is closed to the human test.`,
    lasts: (minutes: number) => `A pass lasts ${span(minutes * 60_000)}, from the next one on.`,
    sound: (on: boolean) =>
      on ? 'The human test offers sounds too.' : 'The human test offers letters alone.',
  },
  close: {
    title: (service: string) => `Close ${service} to the human test`,
    consequence: (n: number) =>
      `${count(n, 'visitor who came in by it is', 'visitors who came in by it are')} put out at once, of every service that they were let into. Certificates and passwords go on opening it.`,
    confirm: 'Close it',
  },
  person: {
    title: 'Let somebody in by password',
    name: 'Name',
    nameHint: 'What they type at the access point, up to 64 characters',
    password: 'Password',
    passwordHint: 'At least 10 characters. A code from their authenticator program is the second step.',
    services: 'May reach',
    submit: 'Let them in',
    errors: { name: 'Give a name of 1 to 64 characters.', password: 'Use at least 10 characters.' },
  },
  secondStep: {
    title: (name: string) => `Second step of ${name}`,
    once: 'Give it to them now, on another way than the password: it is shown once, and nobody can look it up.',
    address: 'For an authenticator program that takes an address',
    secret: 'To type into one that does not',
    secretHint: 'A code every 30 s, 6 digits.',
    done: 'They have it',
    notCopied: 'You have not copied it yet. Without it they cannot come in. Close it anyway?',
    closeAnyway: 'Close without it',
  },
  remove: {
    button: (name: string) => `Take the password of ${name} away`,
    title: (name: string) => `Take the password of ${name} away`,
    consequence: (services: readonly string[]) =>
      `They are put out at once, and come into ${services.join(', ')} by password no more. It cannot be undone; let them in anew, with another second step.`,
    confirm: 'Take it away',
    done: (name: string, told: number) =>
      `${name} has no password any more. ${count(told, 'access point', 'access points')} told.`,
  },
} as const;

/** People who are in by what they earned at an access point. */
export const visitorsText = {
  lists: { certificates: 'Certificates', visitors: 'Visitors' },
  listsLabel: 'Who is shown',
  search: 'Search by name, service or access point',
  columns: {
    name: 'Name',
    method: 'Came in by',
    accessPoint: 'At',
    scope: 'Services',
    until: 'Until',
    serial: 'Serial',
    state: 'State',
    actions: 'Actions',
  },
  method: { 'human-test': 'human test', password: 'password' } as Record<string, string>,
  state: { in: 'in', revoked: 'revoked' },
  empty: 'Nobody is in without a certificate of their own',
  emptyHint:
    'Whoever passes the human test at an access point, or comes by password, appears here. Services are opened to them under Services.',
  noMatch: 'Nobody matches',
  noMatchHint: 'Change the search.',
  revoke: 'Revoke',
  dialog: {
    title: (name: string) => `Revoke what ${name} earned`,
    consequence: (accessPoint: string) =>
      `Cuts what ${accessPoint} carries for them within a second; a certificate that they took for a forwarder ends with it. It cannot be undone.`,
    again: {
      'human-test': 'Nobody knows who they are: who passes a new test comes in again.',
      password: 'They keep their password and can come in again. Take it away under Services.',
    } as Record<string, string>,
    confirm: 'Revoke',
    gone: 'Their time is over already; there is nothing left to revoke.',
  },
  revoked: (name: string, told: number, ms: number) =>
    `Revoked what ${name} earned. ${count(told, 'access point', 'access points')} told within ${duration(ms)}.`,
} as const;

/** Signing a certificate request, so that the key stays with whoever made it. */
export const signText = {
  title: 'Sign a request',
  intro: 'They make a key and a request. The request comes to you, the key stays with them.',
  name: 'Name',
  nameHint: 'The person or machine; the request must say the same',
  nameDiffers: (said: string) => `The request says “${said}”, not what stands above.`,
  take: (said: string) => `Take ${said}`,
  placeholder: 'NAME',
  command: 'They run',
  commandLabel: 'the openssl command',
  request: 'Request',
  requestHint: 'Paste it, drop its file here, or choose it: NAME.request.pem',
  requestOf: (name: string) => `A request of ${name}`,
  choose: 'Choose a file',
  submit: 'Sign',
  errors: {
    request: 'Paste the request, from “-----BEGIN CERTIFICATE REQUEST-----” to its END line.',
    key: 'This is a private key. Nobody needs it but its owner: ask for the request.',
    tooLong: 'This is no request: it has more than 64 KB.',
    unreadable: 'The file could not be read. Choose another one.',
  },
  signed: {
    title: (name: string) => `Certificate for ${name}`,
    hint: 'Send both back. They lay them beside their key; nothing here is secret.',
    certificate: 'Certificate (.pem)',
    trust: 'Trust store (.pem)',
    browser: 'For a browser, they make a PKCS#12 of them',
    browserLabel: 'the command for a browser',
    done: 'Done',
  },
} as const;
