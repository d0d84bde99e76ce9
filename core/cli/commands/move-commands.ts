import { z } from 'zod';
import type { OutputOf } from '../../contract/contract.ts';
import { isUnderWay, moveSchema } from '../../contract/domain.ts';
import { MoveError } from '../../runtime/errors.ts';
import type { Command } from '../command.ts';
import type { CommandContext } from '../command-context.ts';
import { contractCommand, inputOf, optionsOf } from '../contract-command.ts';
import { type ControlLink, withControl } from '../control-link.ts';
import { fullServiceName } from '../service-name.ts';

type Move = OutputOf<'move.start'>['move'];

/** Milliseconds of one `move.wait`; waiting goes on until the move has ended or paused. */
const waitLimitMs = 1_000;
const output = () => z.object({ move: moveSchema });

async function waitForMove(context: CommandContext, link: ControlLink, move: Move): Promise<Move> {
  let now = move;
  let shown = '';
  while (now.state === 'queued' || now.state === 'running' || now.state === 'committed') {
    now = (await link.call('move.wait', { move: move.id, limitMs: waitLimitMs })).move;
    const line = progressLine(now);
    if (line !== null && line !== shown && now.endedAt === null) context.say(line);
    shown = line ?? shown;
  }
  return now;
}

/** How far the state of a frozen service has come, as a line; null before it goes. */
function progressLine({ progress }: Move): string | null {
  if (progress === null) return null;
  const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1);
  const { bytes, totalBytes, wireBytes, bytesPerSecond } = progress;
  const percent = totalBytes > 0 ? Math.round((100 * bytes) / totalBytes) : 100;
  return `Shipped ${megabytes(bytes)} of ${megabytes(totalBytes)} MB (${percent}%), ${megabytes(wireBytes)} MB on the wire, ${megabytes(bytesPerSecond)} MB/s.`;
}

/** Prints where a move has come to; a move that did not succeed is an error as well. */
function report(context: CommandContext, move: Move): number {
  context.print({ move });
  if (move.state !== 'rolled-back' && move.state !== 'failed') return 0;
  throw new MoveError(
    move.error?.code ?? 'MOVE_NOT_DONE',
    move.failure
      ? [move.failure.happened, move.error?.message, move.failure.safe, move.failure.advice]
          .filter((sentence) => sentence !== undefined)
          .join(' ')
      : `The move of ${move.service} to ${move.to} ended as "${move.state}". "move journal" says why.`,
    { ...move.error?.details, ...move.failure, move: move.id, state: move.state },
  );
}

const noWait = {
  'no-wait': { type: 'flag', docs: 'Answer at once instead of when the move has ended or paused.' },
} as const;

const start: Command = {
  path: ['move'],
  summary: 'Moves a service now, attack or not. Without --to a healthy site is drawn at random.',
  positionals: [{ name: 'SERVICE', docs: 'the service, for example shop.example or just shop' }],
  options: { ...optionsOf('move.start', ['service']), ...noWait },
  output,
  async run(context, parsed) {
    const typed = inputOf('move.start', parsed, ['service']);
    return withControl(context, async (link) => {
      const service = await fullServiceName(link, typed.service);
      const { move } = await link.call('move.start', { ...typed, service });
      context.say(`Moving ${move.service} from ${move.from} to ${move.to} (move ${move.id}).`);
      return report(context, parsed.flag('no-wait') ? move : await waitForMove(context, link, move));
    });
  },
};

const resume: Command = {
  path: ['move', 'continue'],
  summary: 'Lets a paused move go on.',
  positionals: [{ name: 'MOVE', docs: "the move's id" }],
  options: noWait,
  output,
  async run(context, parsed) {
    return withControl(context, async (link) => {
      const { move } = await link.call('move.continue', { move: parsed.at(0) });
      return report(context, parsed.flag('no-wait') ? move : await waitForMove(context, link, move));
    });
  },
};

const list: Command = {
  path: ['move', 'list'],
  summary: 'Lists moves, newest first.',
  output: () => z.object({ moves: z.array(moveSchema) }),
  async run(context) {
    return withControl(context, async (link) => {
      const { state } = await link.snapshot();
      context.print({ moves: Object.values(state.moves).sort((a, b) => b.startedAt - a.startedAt) });
      return 0;
    });
  },
};

const queue: Command = {
  path: ['move', 'queue'],
  summary: 'Lists moves that wait for their turn, and what each waits for; "move cancel" takes one back.',
  output: () => z.object({ queue: z.array(moveSchema), underWay: z.array(moveSchema) }),
  async run(context) {
    return withControl(context, async (link) => {
      const { state } = await link.snapshot();
      const moves = Object.values(state.moves).sort((a, b) => a.startedAt - b.startedAt);
      context.print({
        queue: moves.filter((move) => move.state === 'queued'),
        underWay: moves.filter(isUnderWay),
      });
      return 0;
    });
  },
};

export const moveCommands: readonly Command[] = [
  start,
  resume,
  contractCommand({ path: ['move', 'cancel'], method: 'move.cancel', positionals: ['move'] }),
  list,
  queue,
];
