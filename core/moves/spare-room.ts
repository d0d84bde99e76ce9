import { rmSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { z } from 'zod';
import { readIdentity } from '../credentials/identity.ts';
import { MoveError, toMoveError } from '../runtime/errors.ts';
import type { IncomingStream, Link } from '../runtime/link/link.ts';
import { readBase } from './page-base.ts';
import { receiveState } from './state-transfer.ts';

const headerSchema = z.object({
  kind: z.literal('spare'),
  service: z.string().min(1).max(253),
  name: z.uuid(),
  on: z.uuid().nullable(),
  delegation: z.unknown(),
});
type Header = z.infer<typeof headerSchema>;

/** Pages are held in memory: of so many services. */
const sparesMost = 4;

interface Held {
  /** What both ends call these pages. */
  name: string;
  base: Buffer;
  /** By which they came: with it they go. */
  link: Link;
}

/**
 * What a site holds of services that run elsewhere, for a move of theirs that may come: pages to compare with, which
 * cannot run and never meet a disk.
 */
export class SpareRoom {
  readonly #runDirectory: string;
  readonly #limitBytes: number;
  readonly #verify: (delegation: unknown) => { service: string; site: string };
  /** By the site that sent them and the service: no site meddles with what another one keeps here. */
  readonly #held = new Map<string, Held>();
  readonly #arriving = new Set<string>();
  readonly #watched = new WeakSet<Link>();

  constructor(options: {
    runDirectory: string;
    /** The most that is held of one service. */
    limitBytes: number;
    /** Checks a service's word that it is at a site. */
    verify: (delegation: unknown) => { service: string; site: string };
  }) {
    this.#runDirectory = join(options.runDirectory, 'spared');
    this.#limitBytes = options.limitBytes;
    this.#verify = options.verify;
    // Of an agent that died in the midst.
    rmSync(this.#runDirectory, { recursive: true, force: true });
  }

  /**
   * Takes one round of pages in, from the site where the service lets itself be found. Refuses with `SPARE_DENIED` what
   * comes from any other, with `STATE_DAMAGED` what builds on pages that are not here, with
   * `SPARES_TOO_MANY` one service too many, with `SPARE_BUSY` two rounds at once.
   */
  receive(incoming: IncomingStream, link: Link): void {
    try {
      const header = headerSchema.parse(incoming.header);
      const { service, on } = header;
      const from = readIdentity(link.peerCertificate).name;
      const key = keyOf(from, service);
      const held = this.#held.get(key);
      const delegated = this.#verify(header.delegation);
      if (delegated.service !== service || delegated.site !== from)
        throw new MoveError('SPARE_DENIED', `Pages of ${service} are taken from its own site alone.`, {
          service,
          site: from,
        });
      if (this.#arriving.has(key))
        throw new MoveError('SPARE_BUSY', `Pages of ${service} are arriving just now.`, { service });
      if (on !== null && (held?.link !== link || held.name !== on))
        throw new MoveError('STATE_DAMAGED', 'The pages that this builds on are not here any more.', {
          service,
        });
      if (!held && new Set([...this.#held.keys(), ...this.#arriving]).size >= sparesMost)
        throw new MoveError('SPARES_TOO_MANY', `This site holds pages of ${sparesMost} services already.`, {
          service,
        });
      const base = on === null || !held ? Buffer.alloc(0) : held.base;
      this.#take(key, header, base, incoming.accept(), link).catch((thrown) =>
        incoming.stream.reset(toMoveError(thrown)),
      );
    } catch (thrown) {
      incoming.refuse(toMoveError(thrown));
    }
  }

  /**
   * The pages of a service that its site `from` calls `name`.
   * @throws MoveError `SPARE_UNKNOWN` when they are not here (any more).
   */
  baseOf(service: string, name: string, from: string): Buffer {
    const held = this.#held.get(keyOf(from, service));
    if (held?.name !== name)
      throw new MoveError('SPARE_UNKNOWN', `What was kept here of ${service} is not what its site means.`, {
        service,
      });
    return held.base;
  }

  async #take(key: string, { name }: Header, before: Buffer, stream: Duplex, link: Link): Promise<void> {
    const directory = join(this.#runDirectory, name);
    this.#arriving.add(key);
    try {
      await rm(directory, { recursive: true, force: true });
      const { intact } = await receiveState(stream, directory, this.#limitBytes, { base: before });
      if (!intact || !link.isOpen) return;
      this.#held.set(key, { name, base: readBase(directory), link });
      this.#watch(link);
    } finally {
      this.#arriving.delete(key);
      await rm(directory, { recursive: true, force: true });
    }
  }

  #watch(link: Link): void {
    if (this.#watched.has(link)) return;
    this.#watched.add(link);
    void link.closed.then(() => {
      for (const [key, held] of this.#held) if (held.link === link) this.#held.delete(key);
    });
  }
}

const keyOf = (site: string, service: string): string => `${site}.${service}`;
