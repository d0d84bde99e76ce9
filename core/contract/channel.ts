import type { z } from 'zod';
import type { ErrorBody } from './error-body.ts';

/**
 * The one message protocol under every shell and every agent: calls, and streams that one listens to,
 * with cancellation. It runs over anything that carries JSON messages in order.
 */
export type ClientMessage =
  | { id: number; call: string; input: unknown }
  | { id: number; listen: string; input: unknown }
  | { id: number; cancel: true };
export type ServerMessage =
  | { id: number; result: unknown }
  | { id: number; error: ErrorBody }
  | { id: number; message: unknown }
  | { id: number; end: ErrorBody | null };

/** An ordered, reliable carrier of JSON messages. */
export interface MessagePort<Out, In> {
  send(message: Out): void;
  onMessage(listener: (message: In) => void): void;
  /** Called once, when nothing can come any more. */
  onClose(listener: (error: ErrorBody | null) => void): void;
  close(): void;
}

/** What a contract value looks like: names with input and output schemas. */
export type AnyContract = Record<
  string,
  { kind: 'command' | 'query' | 'stream'; docs: string; input: z.ZodType; output: z.ZodType }
>;

type Calls<C extends AnyContract> = { [N in keyof C]: C[N]['kind'] extends 'stream' ? never : N }[keyof C] &
  string;
type Streams<C extends AnyContract> = { [N in keyof C]: C[N]['kind'] extends 'stream' ? N : never }[keyof C] &
  string;

/** Typed calls and streams of a contract, whatever carries them. */
export interface Client<C extends AnyContract> {
  /** Rejects with an {@link RemoteError} that holds the error body. */
  call<N extends Calls<C>>(
    method: N,
    input: z.input<C[N]['input']>,
    options?: { signal?: AbortSignal; deadlineMs?: number },
  ): Promise<z.output<C[N]['output']>>;
  /** Messages arrive in order until `onEnd`; the returned function stops listening. */
  listen<N extends Streams<C>>(
    stream: N,
    input: z.input<C[N]['input']>,
    onMessage: (message: z.output<C[N]['output']>) => void,
    onEnd?: (error: ErrorBody | null) => void,
  ): () => void;
  /** Ends the carrier; pending calls fail with `DISCONNECTED`. */
  close(): void;
  /** Resolves when the carrier has ended. */
  readonly closed: Promise<ErrorBody | null>;
}

/** An error body that came over a channel, as something to throw. */
export class RemoteError extends Error {
  readonly code: string;
  readonly details: Record<string, unknown>;
  constructor(body: ErrorBody) {
    super(body.message);
    this.name = 'RemoteError';
    this.code = body.code;
    this.details = body.details ?? {};
  }
}

const disconnected: ErrorBody = {
  code: 'DISCONNECTED',
  message:
    'The connection to the other side ended before it answered. It is tried again by itself; repeat what you did if it does not return.',
};

/**
 * Makes a client of a contract over a message port. Inputs are checked by the side that acts on them;
 * answers are trusted, because the peer was authenticated.
 */
export function createClient<C extends AnyContract>(
  port: MessagePort<ClientMessage, ServerMessage>,
): Client<C> {
  let next = 1;
  let ended: ErrorBody | null | undefined;
  const calls = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  const streams = new Map<
    number,
    { onMessage: (m: unknown) => void; onEnd?: (e: ErrorBody | null) => void }
  >();
  let resolveClosed: (error: ErrorBody | null) => void = () => undefined;
  const closed = new Promise<ErrorBody | null>((resolve) => {
    resolveClosed = resolve;
  });

  port.onMessage((message) => {
    if ('result' in message) {
      calls.get(message.id)?.resolve(message.result);
      calls.delete(message.id);
    } else if ('error' in message) {
      calls.get(message.id)?.reject(new RemoteError(message.error));
      calls.delete(message.id);
    } else if ('message' in message) streams.get(message.id)?.onMessage(message.message);
    else if ('end' in message) {
      const stream = streams.get(message.id);
      streams.delete(message.id);
      stream?.onEnd?.(message.end);
    }
  });
  port.onClose((error) => {
    ended = error;
    for (const call of calls.values()) call.reject(new RemoteError(error ?? disconnected));
    calls.clear();
    const open = [...streams.values()];
    streams.clear();
    for (const stream of open) stream.onEnd?.(error ?? disconnected);
    resolveClosed(error);
  });

  return {
    closed,
    call(method, input, options = {}) {
      return new Promise((resolve, reject) => {
        if (ended !== undefined) {
          reject(new RemoteError(ended ?? disconnected));
          return;
        }
        const id = next++;
        const abandon = (body: ErrorBody) => {
          if (!calls.delete(id)) return;
          settle();
          port.send({ id, cancel: true });
          reject(new RemoteError(body));
        };
        const onAbort = () => abandon({ code: 'CANCELLED', message: `${method} was cancelled.` });
        const timer =
          options.deadlineMs === undefined
            ? undefined
            : setTimeout(
                () =>
                  abandon({
                    code: 'DEADLINE_EXCEEDED',
                    message: `${method} gave no answer within ${options.deadlineMs} ms.`,
                  }),
                options.deadlineMs,
              );
        const settle = () => {
          clearTimeout(timer);
          options.signal?.removeEventListener('abort', onAbort);
        };
        calls.set(id, {
          resolve: (value) => {
            settle();
            resolve(value as never);
          },
          reject: (error) => {
            settle();
            reject(error);
          },
        });
        port.send({ id, call: method, input });
        if (options.signal?.aborted) onAbort();
        else options.signal?.addEventListener('abort', onAbort, { once: true });
      });
    },
    listen(stream, input, onMessage, onEnd) {
      if (ended !== undefined) {
        onEnd?.(ended ?? disconnected);
        return () => undefined;
      }
      const id = next++;
      streams.set(id, { onMessage: onMessage as (m: unknown) => void, ...(onEnd ? { onEnd } : {}) });
      port.send({ id, listen: stream, input });
      return () => {
        if (streams.delete(id) && ended === undefined) port.send({ id, cancel: true });
      };
    },
    close: () => port.close(),
  };
}

/** What serves a contract: one function a method, one generator-like subscription a stream. */
export type Handlers<C extends AnyContract, Caller> = {
  [N in Calls<C>]: (
    input: z.output<C[N]['input']>,
    context: { caller: Caller; signal: AbortSignal },
  ) => Promise<z.input<C[N]['output']>> | z.input<C[N]['output']>;
} & {
  [N in Streams<C>]: (
    input: z.output<C[N]['input']>,
    context: { caller: Caller; signal: AbortSignal },
    emit: (message: z.input<C[N]['output']>) => void,
  ) => Promise<void> | void;
};

/**
 * Serves a contract over a message port. Every input is checked against its schema here, on the side
 * that acts; a stream goes on until its `signal` fires. `describe` turns what a handler threw into an
 * error body (and is the place where it is logged).
 */
export function serveContract<C extends AnyContract, Caller>(
  contract: C,
  handlers: Handlers<C, Caller>,
  caller: Caller,
  port: MessagePort<ServerMessage, ClientMessage>,
  describe: (thrown: unknown, method: string) => ErrorBody,
): void {
  const running = new Map<number, AbortController>();
  let open = true;
  const send = (message: ServerMessage) => {
    if (open) port.send(message);
  };

  port.onClose(() => {
    open = false;
    for (const controller of running.values()) controller.abort();
    running.clear();
  });
  port.onMessage((message) => {
    if (typeof message !== 'object' || message === null || typeof message.id !== 'number') {
      port.close();
      return;
    }
    if ('cancel' in message) {
      running.get(message.id)?.abort();
      running.delete(message.id);
      return;
    }
    if (typeof ('call' in message ? message.call : message.listen) !== 'string') {
      port.close();
      return;
    }
    void serve(message);
  });

  async function serve(message: Exclude<ClientMessage, { cancel: true }>): Promise<void> {
    const isCall = 'call' in message;
    const name = isCall ? message.call : message.listen;
    const fail = (body: ErrorBody) =>
      send(isCall ? { id: message.id, error: body } : { id: message.id, end: body });
    const definition = Object.hasOwn(contract, name) ? contract[name] : undefined;
    if (!definition || (definition.kind === 'stream') === isCall) {
      fail({
        code: 'UNKNOWN_METHOD',
        message: `There is no ${isCall ? 'command or query' : 'stream'} named ${name}.`,
      });
      return;
    }
    const checked = definition.input.safeParse(message.input ?? {});
    if (!checked.success) {
      fail(invalidInput(name, checked.error));
      return;
    }
    const controller = new AbortController();
    running.set(message.id, controller);
    const context = { caller, signal: controller.signal };
    try {
      if (isCall) {
        const handler = handlers[name as keyof typeof handlers] as (i: unknown, c: unknown) => unknown;
        send({ id: message.id, result: await handler(checked.data, context) });
      } else {
        const handler = handlers[name as keyof typeof handlers] as (
          i: unknown,
          c: unknown,
          e: unknown,
        ) => unknown;
        await handler(checked.data, context, (m: unknown) => {
          if (!controller.signal.aborted) send({ id: message.id, message: m });
        });
        if (!controller.signal.aborted)
          await new Promise<void>((resolve) => {
            controller.signal.addEventListener('abort', () => resolve(), { once: true });
          });
      }
    } catch (thrown) {
      fail(describe(thrown, name));
    } finally {
      running.delete(message.id);
    }
  }
}

/** The error body for an input that a schema refused: which field, and what it should be. */
export function invalidInput(name: string, error: z.ZodError): ErrorBody {
  const issues = error.issues.map((issue) => ({ field: issue.path.join('.'), problem: issue.message }));
  const first = issues[0];
  return {
    code: 'INVALID_INPUT',
    message: `${name}: ${first?.field ? `${first.field}: ` : ''}${first?.problem ?? 'the input is not valid'}.`,
    details: { issues },
  };
}
