import { createHash } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { createConnection } from 'node:net';
import type { Duplex } from 'node:stream';
import { Client, type ClientChannel } from 'ssh2';
import { MoveError } from '../runtime/errors.ts';

/** Milliseconds that a host may take to open a channel: a program, a TCP connection, a unix socket. */
const channelDeadlineMs = 8_000;
/** Milliseconds after which a program that was told to end counts as ended. */
const killGraceMs = 3_000;

export interface RemoteProgram {
  /** Everything written here reaches the program's stdin; ending it ends a well-behaved program. */
  readonly stdin: NodeJS.WritableStream;
  readonly stdout: NodeJS.ReadableStream;
  readonly stderr: NodeJS.ReadableStream;
  /** Resolves with the exit status; null when the connection ended first. */
  readonly exited: Promise<number | null>;
  /** Asks the program to end and closes the channel. */
  kill(): void;
}

/**
 * One SSH connection to one host. It hands out channels (programs, forwarded TCP, forwarded unix
 * sockets); it never reconnects by itself: {@link Fleet} does.
 */
export class HostConnection {
  readonly host: string;
  /** Resolves once the connection has ended or is found dead, whatever of it still hangs. */
  readonly closed: Promise<void>;
  readonly #client: Client;
  readonly #transport: Duplex;
  readonly #ended = new AbortController();

  private constructor(host: string, client: Client, transport: Duplex) {
    this.host = host;
    this.#client = client;
    this.#transport = transport;
    const { signal } = this.#ended;
    // Every channel on its way waits for the end of the connection; there may be many at once.
    setMaxListeners(0, signal);
    this.closed = new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
    // Over a channel of another connection 'close' alone may never come: a keepalive that stays unanswered is told
    // as an error, and an end of the other side as the end of the transport.
    const end = () => this.close();
    client.once('close', end);
    client.on('error', end);
    transport.once('end', end);
    transport.once('close', end);
  }

  /**
   * Opens a connection over an existing byte stream and checks the host's key.
   * @throws MoveError `HOST_UNREACHABLE`, `HOST_KEY_MISMATCH`.
   */
  static open(options: {
    host: string;
    transport: Duplex;
    user: string;
    privateKey: string | Buffer;
    hostKey: string;
    deadlineMs: number;
  }): Promise<HostConnection> {
    return new Promise((resolve, reject) => {
      const client = new Client();
      // One listener a channel that is being opened: the agents of a whole fleet are opened at once.
      client.setMaxListeners(0);
      let mismatch = false;
      client.once('ready', () => {
        client.removeListener('error', onError);
        resolve(new HostConnection(options.host, client, options.transport));
      });
      const onError = (cause: Error) => {
        client.end();
        options.transport.destroy();
        reject(
          mismatch
            ? new MoveError(
                'HOST_KEY_MISMATCH',
                `The host ${options.host} shows another key than the one that is known. Nothing was sent to it; check who answers there.`,
                { host: options.host },
              )
            : new MoveError(
                'HOST_UNREACHABLE',
                `The host ${options.host} cannot be reached by SSH: ${cause.message}.`,
                { host: options.host },
                cause,
              ),
        );
      };
      // A connection that fails may tell more than one error, the second when its transport has gone.
      client.on('error', onError);
      client.connect({
        sock: options.transport as never,
        username: options.user,
        privateKey: options.privateKey,
        readyTimeout: options.deadlineMs,
        keepaliveInterval: 2000,
        keepaliveCountMax: 3,
        algorithms: { cipher: ['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com'] },
        hostVerifier: (key: Buffer) => {
          const shown = createHash('sha256').update(key).digest('base64').replace(/=+$/, '');
          mismatch = shown !== options.hostKey;
          return !mismatch;
        },
      });
    });
  }

  get open(): boolean {
    return !this.#ended.signal.aborted;
  }

  /** Opens a TCP connection from the host to `address:port`. @throws MoveError `CHANNEL_REFUSED`, `DEADLINE_EXCEEDED`. */
  forwardTcp(address: string, port: number): Promise<Duplex> {
    return this.#channel(
      (done) => this.#client.forwardOut('127.0.0.1', 0, address, port, done),
      `${address}:${port}`,
    );
  }

  /** Opens a connection to a unix socket on the host. */
  forwardSocket(path: string): Promise<Duplex> {
    return this.#channel((done) => this.#client.openssh_forwardOutStreamLocal(path, done), path);
  }

  /** Opens the bytes in and out of a command, which is a way on to another host. */
  async passage(command: string): Promise<Duplex> {
    const channel = (await this.#channel(
      (done) => this.#client.exec(command, done),
      command,
    )) as ClientChannel;
    channel.stderr.resume();
    return channel;
  }

  /** Starts a program (a shell command line; quote with {@link shellQuote}). */
  async start(commandLine: string): Promise<RemoteProgram> {
    let status: number | null = null;
    const exited = Promise.withResolvers<number | null>();
    // A quick program's end may arrive together with its beginning: who listens later misses it.
    const watch = (channel: ClientChannel | undefined) => {
      channel?.on('exit', (code: number | null) => {
        status = code;
      });
      const end = () => {
        this.#ended.signal.removeEventListener('abort', end);
        exited.resolve(status);
      };
      channel?.once('close', end);
      this.#ended.signal.addEventListener('abort', end, { once: true });
    };
    const channel = (await this.#channel(
      (done) =>
        this.#client.exec(commandLine, (error, opened) => {
          watch(opened);
          done(error, opened);
        }),
      commandLine,
    )) as ClientChannel;
    return {
      stdin: channel.stdin,
      stdout: channel,
      stderr: channel.stderr,
      exited: exited.promise,
      kill: () => {
        if (!channel.destroyed) {
          channel.signal('TERM');
          channel.close();
        }
        // A host that is cut off never confirms; who waits for the end must not wait for that.
        setTimeout(() => exited.resolve(status), killGraceMs).unref();
      },
    };
  }

  /**
   * Runs a program to its end and returns what it printed (at most 1 MiB each way).
   * @throws MoveError `REMOTE_FAILED` on a non-zero status, `DEADLINE_EXCEEDED`.
   */
  async run(commandLine: string, options: { deadlineMs: number; input?: string | Buffer }): Promise<string> {
    const program = await this.start(commandLine);
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    let size = 0;
    const keep = (list: Buffer[]) => (chunk: Buffer) => {
      size += chunk.length;
      if (size <= 1 << 20) list.push(chunk);
    };
    program.stdout.on('data', keep(out));
    program.stderr.on('data', keep(err));
    program.stdin.end(options.input ?? '');
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(() => resolve('late'), options.deadlineMs);
    });
    const status = await Promise.race([program.exited, late]);
    clearTimeout(timer);
    if (status === 'late') {
      program.kill();
      throw new MoveError(
        'DEADLINE_EXCEEDED',
        `A command on ${this.host} took longer than ${options.deadlineMs} ms.`,
        {
          host: this.host,
        },
      );
    }
    if (status !== 0)
      throw new MoveError(
        'REMOTE_FAILED',
        `A command on ${this.host} ended with status ${status ?? 'none'}.`,
        {
          host: this.host,
          stderr: Buffer.concat(err).toString('utf8').slice(-2000),
        },
      );
    return Buffer.concat(out).toString('utf8');
  }

  /** Writes a file on the host by SFTP, aside and renamed, with the given mode. */
  async writeFile(path: string, content: Buffer | string, mode: number): Promise<void> {
    const quoted = shellQuote(path);
    const aside = shellQuote(`${path}.part`);
    await this.run(
      `umask 077 && mkdir -p "$(dirname ${quoted})" && cat > ${aside} && chmod ${mode.toString(8)} ${aside} && mv -f ${aside} ${quoted}`,
      { deadlineMs: 60_000, input: content },
    );
  }

  /** Ends the connection and everything that goes over it, at once. */
  close(): void {
    if (!this.open) return;
    this.#ended.abort();
    this.#client.end();
    this.#transport.destroy();
  }

  #channel(
    open: (done: (error: Error | undefined, channel: ClientChannel) => void) => void,
    what: string,
  ): Promise<Duplex> {
    return new Promise((resolve, reject) => {
      if (!this.open) {
        reject(
          new MoveError('HOST_UNREACHABLE', `The connection to ${this.host} has ended.`, { host: this.host }),
        );
        return;
      }
      const settle = () => {
        clearTimeout(timer);
        this.#ended.signal.removeEventListener('abort', onEnd);
      };
      // A host that dials into silence, as towards a cut link, answers only when its own TCP gives up.
      let late = false;
      const timer = setTimeout(() => {
        late = true;
        settle();
        reject(
          new MoveError(
            'DEADLINE_EXCEEDED',
            `The host ${this.host} did not open ${what} within ${channelDeadlineMs} ms.`,
            { host: this.host },
          ),
        );
      }, channelDeadlineMs);
      const refuse = (cause: unknown) => {
        settle();
        reject(
          new MoveError(
            'CHANNEL_REFUSED',
            `The host ${this.host} did not open ${what}: ${cause instanceof Error ? cause.message : String(cause)}.`,
            { host: this.host },
            cause,
          ),
        );
      };
      const onEnd = () => refuse(new Error('the connection ended'));
      this.#ended.signal.addEventListener('abort', onEnd, { once: true });
      try {
        open((error, channel) => {
          if (error) {
            refuse(error);
            return;
          }
          settle();
          channel.on('error', () => undefined);
          if (late) channel.close();
          else resolve(channel as unknown as Duplex);
        });
      } catch (cause) {
        refuse(cause);
      }
    });
  }
}

/** Quotes one word for a POSIX shell. */
export function shellQuote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

/** Connects to a unix socket or TCP address within a deadline. @throws MoveError `HOST_UNREACHABLE`. */
export function connectEntry(
  entry: { socketPath: string } | { address: string; port: number },
  deadlineMs: number,
): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const socket =
      'socketPath' in entry
        ? createConnection(entry.socketPath)
        : createConnection(entry.port, entry.address);
    const fail = (reason: string) => {
      socket.destroy();
      reject(
        new MoveError('HOST_UNREACHABLE', `The way into the fleet does not answer: ${reason}.`, { entry }),
      );
    };
    const timer = setTimeout(() => fail(`no connection within ${deadlineMs} ms`), deadlineMs);
    socket.once('error', (error) => {
      clearTimeout(timer);
      fail(error.message);
    });
    socket.once('connect', () => {
      clearTimeout(timer);
      socket.removeAllListeners('error');
      socket.on('error', () => undefined);
      resolve(socket);
    });
  });
}
