import { closeSync, mkdirSync, openSync, readFileSync, readSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { MoveError } from '../runtime/errors.ts';
import { runProgram } from '../runtime/process.ts';

const pageBytes = 4096;
/** Read in one go before others get a turn: sessions pass through this process meanwhile. */
const turnBytes = 2 << 20;
const entryBytes = 8;
const packLimitMs = 10_000;

/* proc(5), /proc/pid/pagemap: bit 63 present, bit 61 a page of a file or shared memory. What criu dumps is
 * present and neither. */
const present = 0x80000000;
const shared = 0x20000000;

/**
 * Writes what the state of a running pod will mostly consist of into `directory` (emptied first): the private
 * memory of its processes, page by page, and its writable layer packed as a dump packs it. The pod runs on while
 * it is read, so the copy is of no single moment: it is good for comparing pages with, not for restoring from.
 * @throws MoveError `ADVANCE_TOO_LARGE` above `limitBytes`; an AbortError when `signal` fires.
 */
export async function writeAdvance(
  pids: readonly number[],
  layer: { directory: string; options: readonly string[] },
  directory: string,
  limitBytes: number,
  signal: AbortSignal,
): Promise<void> {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  // Files change under tar and a large layer is cut short, which a copy for comparing may: its end does not matter.
  const packed = runProgram(
    'sh',
    [
      ...['-c', 'ulimit -f "$1"; shift; exec "$@"', 'sh', String(Math.floor(limitBytes / 512))],
      ...['tar', '-C', layer.directory, ...layer.options, '-cf', join(directory, 'layer'), '.'],
    ],
    { timeoutMs: packLimitMs, signal },
  );
  const copied = copyMemory(pids, join(directory, 'memory'), limitBytes, signal);
  const [memory] = await Promise.allSettled([copied, packed]);
  if (memory.status === 'rejected') throw memory.reason;
  await packed;
}

async function copyMemory(
  pids: readonly number[],
  path: string,
  limitBytes: number,
  signal: AbortSignal,
): Promise<void> {
  const out = openSync(path, 'wx', 0o600);
  const buffer = Buffer.allocUnsafe(turnBytes);
  let total = 0;
  let sinceTurn = 0;
  try {
    for (const pid of pids) {
      const process = openProcess(pid);
      if (process === null) continue;
      try {
        for (const [start, end] of process.areas) {
          for (const [from, to] of residentRuns(process.pagemap, start, end)) {
            for (let at = from; at < to; at += turnBytes) {
              // What was unmapped since the list was read is simply not in the copy.
              const read = readOrNothing(process.memory, buffer, Math.min(turnBytes, to - at), at);
              writeSync(out, buffer, 0, read - (read % pageBytes));
              total += read;
              sinceTurn += read;
              if (total > limitBytes)
                throw new MoveError(
                  'ADVANCE_TOO_LARGE',
                  `The pod's memory is larger than the ${limitBytes} bytes that are sent ahead; all of it goes later.`,
                  { limitBytes },
                );
            }
          }
          if (sinceTurn < turnBytes) continue;
          sinceTurn = 0;
          await turn();
          signal.throwIfAborted();
        }
      } finally {
        closeSync(process.memory);
        closeSync(process.pagemap);
      }
    }
  } finally {
    closeSync(out);
  }
}

/** The private areas of a process that can be read; null when it has ended. */
function openProcess(
  pid: number,
): { memory: number; pagemap: number; areas: readonly (readonly [number, number])[] } | null {
  let memory: number | undefined;
  try {
    const areas = readFileSync(`/proc/${pid}/maps`, 'latin1')
      .split('\n')
      .flatMap((line) => {
        const area = /^([0-9a-f]+)-([0-9a-f]+) r..p \S+ \S+ \d+\s*(.*)$/.exec(line);
        if (area === null || area[3]!.startsWith('[v')) return [];
        return [[Number.parseInt(area[1]!, 16), Number.parseInt(area[2]!, 16)] as const];
      });
    memory = openSync(`/proc/${pid}/mem`, 'r');
    return { memory, pagemap: openSync(`/proc/${pid}/pagemap`, 'r'), areas };
  } catch {
    if (memory !== undefined) closeSync(memory);
    return null;
  }
}

/** Runs of pages that are present and private: untouched parts of a stack must not be read into existence. */
function* residentRuns(pagemap: number, start: number, end: number): Generator<[number, number]> {
  const pages = (end - start) / pageBytes;
  const map = Buffer.alloc(pages * entryBytes);
  const known = readOrNothing(pagemap, map, map.length, (start / pageBytes) * entryBytes) / entryBytes;
  let begun = -1;
  for (let page = 0; page <= pages; page += 1) {
    const bits = page < known ? map.readUInt32LE(page * entryBytes + 4) : 0;
    const resident = (bits & present) !== 0 && (bits & shared) === 0;
    if (resident && begun < 0) begun = page;
    if (resident || begun < 0) continue;
    yield [start + begun * pageBytes, start + page * pageBytes];
    begun = -1;
  }
}

function readOrNothing(file: number, into: Buffer, length: number, position: number): number {
  try {
    return readSync(file, into, 0, length, position);
  } catch {
    return 0;
  }
}
