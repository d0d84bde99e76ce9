import { type ChildProcess, spawn } from 'node:child_process';
import { createServer, type Server } from 'node:net';
import { setPriority } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { DurableFile } from '../../runtime/durable-file.ts';
import { MoveError, toMoveError } from '../../runtime/errors.ts';
import type { DecoyFigures } from './decoy-server.ts';
import { type Picture, pictureSchema, takePicture } from './picture.ts';

const readyLimitMs = 20_000;
/** A picture is taken when a service has come up here, and again so often. */
const pictureEveryMs = 10 * 60_000;
const firstPictureMs = 2_000;
/** Heap of a decoy in megabytes; all of its pages are at most 1 MiB. */
const heapMb = 24;
/** The user nobody, whom nothing on a host belongs to. */
const nobody = 65_534;

const fromChildSchema = z.object({
  ready: z.boolean().optional(),
  figures: z
    .object({ requests: z.number(), turnedAway: z.number(), bytes: z.number(), connections: z.number() })
    .optional(),
});

interface DecoyStatus extends DecoyFigures {
  service: string;
  port: number;
  /** When it began to answer, and when what it answers was true; milliseconds since the epoch. */
  since: number;
  takenAt: number;
}

interface Running {
  child: ChildProcess;
  status: DecoyStatus;
}

interface DecoysParts {
  /** Where pictures are kept. */
  directory: string;
  /** The public address of the site. */
  address: string;
  /** The program that has `decoyMain` as its command `decoy`. */
  program: string;
  now: () => number;
  log: (line: string) => void;
}

/**
 * The decoys of one site (MOVE's attacker goes on flooding an address that still answers): pictures of its services that
 * strangers may use, taken while they live here, and for each that has left a small server as nobody, niced and bounded,
 * that holds no key and cannot announce.
 */
export class Decoys {
  readonly #parts: DecoysParts;
  readonly #running = new Map<string, Running>();
  readonly #pictures = new Map<string, NodeJS.Timeout>();
  readonly #stopping = new AbortController();
  /** Begun and ended one after the other: a service may return while its decoy is still being started. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(parts: DecoysParts) {
    this.#parts = parts;
  }

  /** A service that strangers may use answers here from now on: its picture is taken, again and again. */
  watch(service: string, port: number): void {
    this.unwatch(service);
    const take = () => {
      const { address, now, log } = this.#parts;
      takePicture({ address, port, service }, now(), this.#stopping.signal)
        .then((picture) => (this.#pictures.has(service) ? this.#fileOf(service).write(picture) : undefined))
        .catch((thrown) => log(`a picture of ${service}: ${toMoveError(thrown).message}`));
      later(pictureEveryMs);
    };
    const later = (ms: number) => this.#pictures.set(service, setTimeout(take, ms).unref());
    later(firstPictureMs);
  }

  /** It has left, or is leaving: what strangers get now is not its answer. */
  unwatch(service: string): void {
    clearTimeout(this.#pictures.get(service));
    this.#pictures.delete(service);
  }

  /**
   * Answers for a service that has left. Begun already is fine.
   * @throws MoveError `DECOY_NO_PICTURE` when it was never seen here, `DECOY_FAILED` when its port cannot be taken.
   */
  begin(service: string, port: number): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#running.has(service) || this.#stopping.signal.aborted) return;
      const picture = await this.#fileOf(service).read(null);
      if (!picture)
        throw new MoveError(
          'DECOY_NO_PICTURE',
          `Nothing is known here of what ${service} answered strangers, so no decoy can answer for it.`,
          { service },
        );
      const listener = await this.#listen(service, port);
      try {
        await this.#start(service, port, picture, listener);
      } finally {
        // The decoy's own process holds the socket now; this one accepts nobody.
        listener.close();
      }
    });
  }

  /** Ends a decoy, its connections too; none is fine. */
  end(service: string): Promise<void> {
    return this.#inTurn(async () => this.#end(service));
  }

  status(): DecoyStatus[] {
    return [...this.#running.values()].map(({ status }) => ({ ...status }));
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    for (const service of [...this.#pictures.keys()]) this.unwatch(service);
    await this.#inTurn(async () => {
      for (const service of [...this.#running.keys()]) this.#end(service);
    });
  }

  async #start(service: string, port: number, picture: Picture, listener: Server): Promise<void> {
    const { program, now, log } = this.#parts;
    const child = spawn(process.execPath, [`--max-old-space-size=${heapMb}`, program, 'decoy'], {
      cwd: '/',
      env: {},
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      // Without root, as in tests of this part alone, it stays who we are.
      ...(process.getuid?.() === 0 ? { uid: nobody, gid: nobody } : {}),
    });
    const status: DecoyStatus = {
      service,
      port,
      since: now(),
      takenAt: picture.takenAt,
      requests: 0,
      turnedAway: 0,
      bytes: 0,
      connections: 0,
    };
    const ready = Promise.withResolvers<void>();
    const timer = setTimeout(() => ready.reject(new Error('it was not ready in time')), readyLimitMs);
    child.on('error', (error) => ready.reject(error));
    child.on('exit', (code, signal) => {
      ready.reject(new Error(`it ended with ${code ?? signal}`));
      if (this.#running.get(service)?.child !== child) return;
      log(`the decoy of ${service} ended with ${code ?? signal}`);
      this.#end(service);
    });
    child.on('message', (message) => {
      const told = fromChildSchema.safeParse(message);
      if (told.data?.ready) ready.resolve();
      if (told.data?.figures) Object.assign(status, told.data.figures);
    });
    try {
      if (child.pid !== undefined) setPriority(child.pid, 19);
      child.send({ picture }, listener, (error) => error && ready.reject(error));
      await ready.promise;
      this.#running.set(service, { child, status });
    } catch (thrown) {
      child.kill('SIGKILL');
      throw new MoveError(
        'DECOY_FAILED',
        `The decoy of ${service} did not begin: ${toMoveError(thrown).message}`,
        {
          service,
          port,
        },
      );
    } finally {
      clearTimeout(timer);
    }
  }

  #end(service: string): void {
    const running = this.#running.get(service);
    if (!running) return;
    this.#running.delete(service);
    running.child.kill('SIGKILL');
  }

  #listen(service: string, port: number): Promise<Server> {
    return new Promise((resolve, reject) => {
      // Its own process accepts nothing: the socket is there to be handed over.
      const listener = createServer({ pauseOnConnect: true });
      listener.once('error', (cause) =>
        reject(
          new MoveError(
            'DECOY_FAILED',
            `Port ${port} cannot be taken for the decoy of ${service}: ${cause.message}.`,
            { service, port },
            cause,
          ),
        ),
      );
      listener.listen({ host: this.#parts.address, port, exclusive: true }, () => resolve(listener));
    });
  }

  #fileOf(service: string): DurableFile<Picture | null> {
    return new DurableFile<Picture | null>(
      join(this.#parts.directory, `${service}.json`),
      pictureSchema.nullable(),
    );
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => undefined);
    return turn;
  }
}
