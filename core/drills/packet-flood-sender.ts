import { spawn } from 'node:child_process';
import { type Clock, systemClock } from '../runtime/clock.ts';
import { MoveError } from '../runtime/errors.ts';
import { runChecked } from '../runtime/process.ts';
import type { FloodSummary } from './flood-sender.ts';
import { guardTarget, isPermitted, type LoadRequest, PACKET_BYTES, packetCount } from './target-guard.ts';

/** What an Ethernet-sized echo request carries beside its 28 bytes of headers. */
const ECHO_BYTES = PACKET_BYTES - 28;
/** A SYN without options. */
const SYN_BYTES = 40;
const SET_UP_LIMIT_MS = 5_000;
/** hping3 waits a second for late answers after its last packet. */
const END_LIMIT_MS = 3_000;
const KEPT_OUTPUT = 4_096;

type PacketFlood = Extract<LoadRequest, { purpose: 'syn-flood' | 'icmp-flood' }>;

/**
 * Sends a bounded SYN or ICMP flood to an address of a host of the lab. Node opens no raw sockets, so that hping3
 * sends the packets; it gets its target from here alone, after the guard, and ends with this process. It is
 * bounded by the request's seconds and its packet count. For a SYN flood this bot's own resets towards the target are
 * dropped meanwhile, as an attacker would do: they would complete what is meant to stay half-open.
 * @throws MoveError `FLOOD_REFUSED` from the guard, `FLOOD_FAILED` when hping3 or nft does not do its part.
 */
export async function sendPacketFlood(
  request: unknown,
  signal: AbortSignal,
  onFirstPacket: (at: number) => void,
  clock: Clock = systemClock,
): Promise<FloodSummary> {
  const wanted = guardTarget(request);
  if (!isPacketFlood(wanted))
    throw new MoveError('FLOOD_REFUSED', 'This program sends SYN and ICMP floods only.');
  const silent = wanted.purpose === 'syn-flood' ? await dropResets(wanted.address) : undefined;
  try {
    const flood = guardTarget(wanted);
    if (!isPacketFlood(flood) || !isPermitted(flood))
      throw new MoveError('FLOOD_REFUSED', 'This flood did not pass the guard.');
    return await send(flood, signal, onFirstPacket, clock);
  } finally {
    await silent?.();
  }
}

/** The words that hping3 is started with; pure. */
export function packetFloodArguments(flood: PacketFlood): string[] {
  const count = packetCount(flood);
  const everyUs = Math.max(1, Math.round((flood.seconds * 1e6) / count));
  const what =
    flood.purpose === 'syn-flood'
      ? ['--syn', '--destport', String(flood.port)]
      : ['--icmp', '--data', String(ECHO_BYTES)];
  return [
    '--quiet',
    '--numeric',
    ...what,
    '--interval',
    `u${everyUs}`,
    '--count',
    String(count),
    flood.address,
  ];
}

function send(
  flood: PacketFlood,
  signal: AbortSignal,
  onFirstPacket: (at: number) => void,
  clock: Clock,
): Promise<FloodSummary> {
  return new Promise((resolve, reject) => {
    // Should this process be killed, the kernel kills the sender.
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', 'hping3', ...packetFloodArguments(flood)], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    let firstPacketAt = 0;
    let lastPacketAt = 0;
    let killer: NodeJS.Timeout | undefined;
    const keep = (chunk: Buffer) => {
      output = (output + chunk.toString('latin1')).slice(-KEPT_OUTPUT);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    const end = () => {
      lastPacketAt ||= clock.now();
      // It counts its packets when it is interrupted.
      child.kill('SIGINT');
      killer ??= setTimeout(() => child.kill('SIGKILL'), END_LIMIT_MS);
    };
    const timer = setTimeout(end, flood.seconds * 1000);
    signal.addEventListener('abort', end, { once: true });
    const settle = () => {
      clearTimeout(timer);
      clearTimeout(killer);
      signal.removeEventListener('abort', end);
    };
    child.once('spawn', () => {
      // A little early: hping3 opens its sockets first. What is measured from here is never too good.
      firstPacketAt = clock.now();
      onFirstPacket(firstPacketAt);
      if (signal.aborted) end();
    });
    child.once('error', (cause) => {
      settle();
      reject(new MoveError('FLOOD_FAILED', 'hping3 cannot be started. Run set-up again.', {}, cause));
    });
    child.once('close', () => {
      settle();
      lastPacketAt ||= clock.now();
      const counted = /(\d+) packets (?:transmitted|tramitted)/.exec(output);
      if (counted === null) {
        reject(
          new MoveError('FLOOD_FAILED', 'hping3 ended without a count.', { output: output.slice(-500) }),
        );
        return;
      }
      const packets = Number(counted[1]);
      const bits = packets * 8 * (flood.purpose === 'syn-flood' ? SYN_BYTES : PACKET_BYTES);
      resolve({
        packets,
        failedSends: 0,
        firstPacketAt,
        lastPacketAt,
        offeredMbit: bits / 1000 / Math.max(1, lastPacketAt - firstPacketAt),
        ended: signal.aborted ? 'stopped' : 'complete',
      });
    });
  });
}

const table = 'move_drill';

/** Resolves with how to let them out again. */
async function dropResets(address: string): Promise<() => Promise<void>> {
  const remove = `table ip ${table}\ndelete table ip ${table}\n`;
  await nft(
    `${remove}table ip ${table} {\n  chain out {\n    type filter hook output priority filter;\n` +
      `    ip daddr ${address} tcp flags & rst == rst drop\n  }\n}\n`,
  );
  return () => nft(remove);
}

async function nft(rules: string): Promise<void> {
  try {
    await runChecked('nft', ['-f', '-'], { timeoutMs: SET_UP_LIMIT_MS, input: rules });
  } catch (thrown) {
    throw new MoveError('FLOOD_FAILED', 'The rule for resets could not be set on this bot.', {}, thrown);
  }
}

function isPacketFlood(request: LoadRequest): request is PacketFlood {
  return request.purpose === 'syn-flood' || request.purpose === 'icmp-flood';
}
