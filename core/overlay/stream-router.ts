import { z } from 'zod';
import { MoveError, toMoveError } from '../runtime/errors.ts';
import type { IncomingStream, Link, LinkHandlers } from '../runtime/link/link.ts';
import type { LinkStream } from '../runtime/link/link-stream.ts';
import { NoteLimit } from '../runtime/note-limit.ts';
import type { OverlayIdentity, ReadIdentity } from './identity.ts';
import type { OverlayEvents } from './overlay-event.ts';
import { notePeer } from './overlay-event.ts';

/** A stream that asks for something, from a peer whose role may ask for it. */
export interface StreamRequest<Header> {
  header: Header;
  identity: OverlayIdentity;
  link: Link;
  /** Reading is allowed at once; writing accepts. */
  stream: LinkStream;
  accept(): LinkStream;
  /** Refuses and records it; further calls do nothing. */
  refuse(error: MoveError): void;
}

export interface StreamKind<Header> {
  /** The header's `kind`. */
  kind: string;
  /** Roles that may ask. */
  roles: readonly string[];
  schema: z.ZodType<Header>;
  where: 'access-point' | 'servlet' | 'ring-hop' | 'site-door' | 'stream';
  handle(request: StreamRequest<Header>): void | Promise<void>;
}

export interface CallMethod {
  method: string;
  roles: readonly string[];
  /** Checks its own parameters; what it throws travels back. */
  handle(params: unknown, from: { identity: OverlayIdentity; link: Link }): unknown;
}

export interface NoticeMethod {
  method: string;
  roles: readonly string[];
  handle(params: unknown, from: { identity: OverlayIdentity; link: Link }): void;
}

/** Somebody who may not is worth a journal entry; a path that is not there yet, or any more, is daily life. */
function isDenial(error: MoveError): boolean {
  return /_DENIED$|^CERTIFICATE_|^HEADER_INVALID$/.test(error.code);
}

const kindsOfRefusals = 1024;
const messageAtMost = 1000;

type Route = (incoming: IncomingStream, link: Link, identity: OverlayIdentity) => void;
const kindSchema = z.looseObject({ kind: z.string() });

/**
 * Hands the streams, calls and notices of every link of a host to whoever registered for their kind, after
 * checking the peer's role and the header's form. One listener so serves many rooms.
 */
export class StreamRouter {
  readonly #readIdentity: ReadIdentity;
  readonly #events: OverlayEvents;
  readonly #notes = new NoteLimit(kindsOfRefusals);
  readonly #streams = new Map<string, Route>();
  readonly #calls = new Map<string, CallMethod>();
  readonly #notices = new Map<string, NoticeMethod>();
  readonly #identities = new WeakMap<Link, OverlayIdentity>();

  constructor(parts: { readIdentity: ReadIdentity; events: OverlayEvents }) {
    this.#readIdentity = parts.readIdentity;
    this.#events = parts.events;
  }

  registerStream<Header>(kind: StreamKind<Header>): void {
    if (this.#streams.has(kind.kind))
      throw new MoveError('ALREADY_REGISTERED', `Streams of kind ${kind.kind} have a handler already.`);
    this.#streams.set(kind.kind, (incoming, link, identity) => {
      const { stream } = incoming;
      let settled = false;
      const refuse = (error: MoveError) => {
        if (settled) return;
        settled = true;
        const service = Object(incoming.header) as { service?: unknown };
        if (isDenial(error)) this.#refused(kind.where, error, identity, link, service.service);
        incoming.refuse(error);
      };
      const header = kind.schema.safeParse(incoming.header);
      if (!kind.roles.includes(identity.role)) {
        refuse(new MoveError('ROLE_DENIED', `A ${identity.role} may not open streams of kind ${kind.kind}.`));
        return;
      }
      if (!header.success) {
        refuse(
          new MoveError(
            'HEADER_INVALID',
            `The header of the stream is malformed: ${z.prettifyError(header.error)}`,
          ),
        );
        return;
      }
      const accept = () => {
        settled = true;
        return incoming.accept();
      };
      Promise.resolve()
        .then(() => kind.handle({ header: header.data, identity, link, stream, accept, refuse }))
        .catch((thrown: unknown) => {
          const error = toMoveError(thrown);
          if (settled) stream.reset(error);
          else refuse(error);
        });
    });
  }

  registerCall(method: CallMethod): void {
    if (this.#calls.has(method.method))
      throw new MoveError('ALREADY_REGISTERED', `Calls of ${method.method} have a handler already.`);
    this.#calls.set(method.method, method);
  }

  registerNotice(method: NoticeMethod): void {
    if (this.#notices.has(method.method))
      throw new MoveError('ALREADY_REGISTERED', `Notices of ${method.method} have a handler already.`);
    this.#notices.set(method.method, method);
  }

  /** Tells of a refusal, unless its holder is told of all the time; what he wrote himself is cut. */
  #refused(
    where: StreamKind<unknown>['where'] | 'call',
    error: MoveError,
    identity: OverlayIdentity,
    link: Link,
    service?: unknown,
  ): void {
    const passed = this.#notes.pass(`${identity.serial} ${error.code}`);
    if (!passed) return;
    const more = passed.untold === 0 ? '' : ` So were ${passed.untold} others since the last note.`;
    this.#events({
      type: 'refused',
      where,
      code: error.code,
      message: `${error.message.slice(0, messageAtMost)}${more}`,
      peer: notePeer(identity, link.remoteAddress),
      ...(typeof service === 'string' ? { service: service.slice(0, 253) } : {}),
    });
  }

  /** Who is at the other end of a link. */
  identityOf(link: Link): OverlayIdentity {
    let identity = this.#identities.get(link);
    if (!identity) {
      identity = this.#readIdentity(link.peerCertificate);
      this.#identities.set(link, identity);
    }
    return identity;
  }

  /** The handlers to give to a link, dialled or accepted. */
  readonly handlers: LinkHandlers = {
    onStream: (incoming, link) => {
      const identity = this.identityOf(link);
      const parsed = kindSchema.safeParse(incoming.header);
      const route = parsed.success ? this.#streams.get(parsed.data.kind) : undefined;
      if (route) {
        route(incoming, link, identity);
        return;
      }
      const error = new MoveError('STREAM_KIND_UNKNOWN', 'This host has nothing to offer for such a stream.');
      this.#refused('stream', error, identity, link);
      incoming.refuse(error);
    },
    onCall: (method, params, link) => {
      const identity = this.identityOf(link);
      const entry = this.#calls.get(method);
      if (!entry) throw new MoveError('METHOD_UNKNOWN', `This host does not answer ${method}.`, { method });
      if (!entry.roles.includes(identity.role)) {
        const error = new MoveError('ROLE_DENIED', `A ${identity.role} may not call ${method}.`, { method });
        this.#refused('call', error, identity, link);
        throw error;
      }
      return entry.handle(params, { identity, link });
    },
    onNotify: (method, params, link) => {
      const identity = this.identityOf(link);
      const entry = this.#notices.get(method);
      if (entry?.roles.includes(identity.role)) entry.handle(params, { identity, link });
    },
  };
}
