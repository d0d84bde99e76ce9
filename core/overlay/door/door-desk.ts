import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import type { Clock } from '../../runtime/clock.ts';
import { MoveError } from '../../runtime/errors.ts';
import type { Random } from '../../runtime/random.ts';
import type { AdmissionDesk } from '../admission/admission-desk.ts';
import type { AdmissionMethod } from '../admission/admission-method.ts';
import { type HttpRequest, type HttpResponse, writeHead } from '../http/http-exchange.ts';
import { mayReach } from '../identity.ts';
import type { DoorService, Origin } from './choose-service.ts';
import { admissionCookie, cookieValue, doorCookie, serviceCookie } from './cookies.ts';
import { guardForm, readForm } from './door-guard.ts';
import { doorPaths } from './door-paths.ts';
import { humanTestPage, passwordPage } from './pages/admission-pages.ts';
import { type ForwarderPackage, forwarderPage } from './pages/forwarder-page.ts';
import type { RenderedPage } from './pages/layout.ts';
import { portalPage } from './pages/portal-page.ts';
import type { Person } from './person.ts';
import { SwitchTickets } from './switch-tickets.ts';

export interface DoorDeskOptions {
  accessPoint: string;
  services: () => readonly DoorService[];
  desk: AdmissionDesk | undefined;
  /** The administrator's authority, PEM: public. */
  trustPem: () => string;
  /** `host:port` where forwarders enter: this access point first, then the others. */
  accessPoints: () => readonly string[];
  /** The command-line program as one file, where this host has it. */
  program: string | undefined;
  clock: Clock;
  random: Random;
}

/** A request to one of the door's own pages. */
export interface DeskRequest {
  request: HttpRequest;
  response: HttpResponse;
  /** Without its query. */
  path: string;
  query: URLSearchParams;
  origin: Origin;
  address: string;
  /** Who asks. @throws MoveError for somebody who is not admitted. */
  person(): Person;
}

/** What the door serves of its own: who one is and where one may go, the tests, and the forwarder. */
export class DoorDesk {
  readonly #options: DoorDeskOptions;
  readonly #tickets: SwitchTickets;

  constructor(options: DoorDeskOptions) {
    this.#options = options;
    this.#tickets = new SwitchTickets(options.clock, options.random);
  }

  /** @throws {MoveError} for which the caller shows a page. */
  async answer(asked: DeskRequest): Promise<void> {
    const { path, request } = asked;
    const method = request.method ?? '';
    const reading = method === 'GET' || method === 'HEAD';
    if (!reading && method !== 'POST')
      throw new MoveError(
        'METHOD_DENIED',
        'The access point’s own pages are read and filled in; nothing else.',
      );
    if (!reading) guardForm(request);
    const act = reading ? this.#pages[path] : this.#forms[path];
    if (!act)
      throw new MoveError(
        'PAGE_UNKNOWN',
        'The access point has no page of that name. Its own begin at /.move/.',
      );
    await act(asked);
  }

  readonly #pages: Readonly<Record<string, (asked: DeskRequest) => Promise<void> | void>> = {
    [doorPaths.portal]: (asked) => this.#portal(asked),
    [doorPaths.enter]: (asked) => this.#enter(asked),
    [doorPaths.humanTest]: (asked) => this.#ask('human-test', asked),
    [doorPaths.password]: (asked) => this.#ask('password', asked),
    [doorPaths.trust]: ({ response }) =>
      send(response, 200, 'application/x-pem-file', this.#options.trustPem()),
    [doorPaths.program]: (asked) => this.#program(asked),
  };

  readonly #forms: Readonly<Record<string, (asked: DeskRequest) => Promise<void> | void>> = {
    [doorPaths.open]: (asked) => this.#open(asked),
    [doorPaths.humanTest]: (asked) => this.#judge('human-test', asked),
    [doorPaths.password]: (asked) => this.#judge('password', asked),
    [doorPaths.forwarder]: (asked) => this.#forwarder(asked),
    [doorPaths.leave]: (asked) => this.#leave(asked),
  };

  #portal({ response, origin, person }: DeskRequest): void {
    const { accessPoint, desk } = this.#options;
    let known: Person | null = null;
    try {
      known = person();
    } catch (thrown) {
      // A stranger is welcome here; somebody whose certificate is not any more is told so.
      if (!(thrown instanceof MoveError) || !isStranger(thrown)) throw thrown;
    }
    const page = portalPage({
      accessPoint,
      person: known && { name: known.identity.name, until: known.until, visitor: known.visit !== null },
      services: known ? this.#reachable(known) : [],
      chosen: origin.service?.hostname ?? null,
      own: origin.own?.hostname ?? null,
      methods: desk?.open ?? [],
    });
    sendPage(response, page);
  }

  #ask(method: AdmissionMethod['name'], { response, query, address }: DeskRequest): void {
    const question = this.#admission().ask(method, address, query.get('form') ?? undefined);
    sendPage(response, question.kind === 'challenge' ? humanTestPage(question) : passwordPage());
  }

  async #judge(
    method: AdmissionMethod['name'],
    { request, response, origin, address }: DeskRequest,
  ): Promise<void> {
    const answer = await readForm(request);
    const { secret, session } = await this.#admission().admit(method, address, answer);
    const seconds = (session.until - this.#options.clock.now()) / 1000;
    // A service's own host name leads to the service, the access point's address to the choice.
    redirect(response, origin.own ? '/' : doorPaths.portal, {
      'set-cookie': [doorCookie(admissionCookie, secret, seconds)],
    });
  }

  async #open({ request, response, origin, address, person }: DeskRequest): Promise<void> {
    const form = await readForm(request);
    const known = person();
    const service = this.#reachable(known).find((candidate) => candidate === form.get('service'));
    if (service === undefined)
      throw new MoveError('SCOPE_DENIED', 'You may not reach this service, or there is none of that name.');
    if (origin.own)
      throw new MoveError(
        'REQUEST_INVALID',
        'Here is one service only, under its own name. Choose at the access point’s address.',
      );
    if (!origin.service || origin.service.hostname === service) {
      redirect(response, '/', { 'set-cookie': [doorCookie(serviceCookie, service)] });
      return;
    }
    // Two services share this origin one after the other: nothing that the one left in the browser is for the other.
    // Clearing takes the door's own cookies along, so a ticket sets them anew.
    const ticket = this.#tickets.issue({ service, secret: known.visit?.secret ?? null, address });
    redirect(response, `${doorPaths.enter}?ticket=${ticket}`, {
      'clear-site-data': '"cache", "cookies", "storage"',
    });
  }

  #enter({ response, query, address }: DeskRequest): void {
    const to = this.#tickets.redeem(query.get('ticket') ?? '', address);
    if (!to) {
      redirect(response, doorPaths.portal, {});
      return;
    }
    const cookies = [doorCookie(serviceCookie, to.service)];
    const session = this.#options.desk?.visitor(to.secret ?? undefined, address);
    if (to.secret !== null && session && this.#options.desk) {
      const seconds = (session.until - this.#options.clock.now()) / 1000;
      cookies.push(doorCookie(admissionCookie, this.#options.desk.renew(to.secret, session), seconds));
    }
    redirect(response, '/', { 'set-cookie': cookies });
  }

  async #forwarder({ request, response, person }: DeskRequest): Promise<void> {
    await readForm(request);
    const known = person();
    const all = this.#options.accessPoints();
    const visit = known.visit;
    const packed = visit && (await this.#admission().pack(visit.session.credential));
    const fileName = packed ? `${known.identity.name.replaceAll(' ', '-')}.p12` : 'YOUR-CERTIFICATE.p12';
    const accessPoints = visit ? all.slice(0, 1) : all;
    const hasProgram = this.#options.program !== undefined && (await isFile(this.#options.program));
    const ways = accessPoints.map((address) => ` --access-point ${address}`).join('');
    const given: ForwarderPackage = {
      pkcs12: packed && { fileName, base64: packed.pkcs12.toString('base64'), password: packed.password },
      trustPem: this.#options.trustPem(),
      accessPoints,
      command: `${hasProgram ? 'node move.mjs' : 'move'} connect --pkcs12 ${fileName} --trust trust.pem${ways} --http 127.0.0.1:8080`,
      hasProgram,
      until: known.until,
    };
    if ((request.headers.accept ?? '').startsWith('application/json'))
      send(response, 200, 'application/json', JSON.stringify(given));
    else sendPage(response, forwarderPage(given));
  }

  async #program({ request, response, person }: DeskRequest): Promise<void> {
    person();
    const { program } = this.#options;
    if (program === undefined || !(await isFile(program)))
      throw new MoveError(
        'PAGE_UNKNOWN',
        'This access point does not have the program. Ask the administrator.',
      );
    const { size } = await stat(program);
    writeHead(response, 200, {
      'content-type': 'text/javascript; charset=utf-8',
      'content-disposition': 'attachment; filename="move.mjs"',
      'content-length': size,
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
    });
    if (request.method === 'HEAD') {
      response.end();
      return;
    }
    await pipeline(createReadStream(program, { end: Math.max(0, size - 1) }), response).catch(
      (thrown: NodeJS.ErrnoException) => {
        if (thrown.code !== 'ERR_STREAM_PREMATURE_CLOSE') throw thrown;
      },
    );
  }

  async #leave({ request, response }: DeskRequest): Promise<void> {
    await readForm(request);
    const secret = cookieValue(request.headers.cookie, admissionCookie);
    if (secret !== undefined) this.#options.desk?.leave(secret);
    redirect(response, doorPaths.portal, { 'set-cookie': [doorCookie(admissionCookie, '', 0)] });
  }

  #reachable({ identity }: Person): string[] {
    return this.#options
      .services()
      .map(({ hostname }) => hostname)
      .filter((hostname) => mayReach(identity, hostname));
  }

  #admission(): AdmissionDesk {
    const { desk } = this.#options;
    if (desk) return desk;
    throw new MoveError('ADMISSION_CLOSED', 'This access point admits people with certificates only.');
  }
}

const isStranger = (error: MoveError) =>
  error.code === 'ADMISSION_REQUIRED' || error.code === 'ADMISSION_OVER';

async function isFile(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile();
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw thrown;
  }
}

/** Sends a page of the door's own. */
export function sendPage(response: HttpResponse, page: RenderedPage): void {
  writeHead(response, page.status, page.headers);
  response.end(page.text);
}

/** Sends the browser on, by GET. */
export function redirect(
  response: HttpResponse,
  location: string,
  headers: Readonly<Record<string, string | readonly string[]>>,
): void {
  writeHead(response, 303, {
    location,
    'content-length': 0,
    'cache-control': 'no-store',
    'referrer-policy': 'same-origin',
    ...Object.fromEntries(
      Object.entries(headers).map(([name, value]) => [name, typeof value === 'string' ? value : [...value]]),
    ),
  });
  response.end();
}

function send(response: HttpResponse, status: number, type: string, body: string): void {
  writeHead(response, status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  });
  response.end(body);
}
