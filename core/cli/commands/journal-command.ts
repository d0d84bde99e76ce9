import { z } from 'zod';
import { contract, type OutputOf } from '../../contract/contract.ts';
import { MoveError } from '../../runtime/errors.ts';
import type { Command } from '../command.ts';
import type { CommandContext } from '../command-context.ts';
import { inputOf, optionsOf } from '../contract-command.ts';
import { type ControlLink, withControl } from '../control-link.ts';
import { UsageError } from '../usage-error.ts';

const pageLimit = 1000;

/** Prints what the journal holds, or whether its chain holds; `--follow` goes on as it grows. */
export const journalCommand: Command = {
  path: ['journal'],
  summary: 'Prints journal events, oldest first. --follow prints one event a line and goes on.',
  options: {
    ...optionsOf('journal.read'),
    follow: { type: 'flag', docs: 'Print one event a line, also those to come, until interrupted.' },
    verify: { type: 'flag', docs: 'Check the hash chain instead; exit code 1 when it is broken.' },
  },
  output: () => z.union([contract['journal.read'].output, contract['journal.verify'].output]),
  async run(context, parsed) {
    if (parsed.flag('follow') && parsed.flag('verify'))
      throw new UsageError('--follow and --verify do not go together.');
    const input = inputOf('journal.read', parsed, []);
    return withControl(context, async (link) => {
      if (parsed.flag('verify')) return verify(context, link);
      if (parsed.flag('follow')) return follow(context, link, input.after ?? 0);
      context.print(await link.call('journal.read', input));
      return 0;
    });
  },
};

async function verify(context: CommandContext, link: ControlLink): Promise<number> {
  const result = await link.call('journal.verify', {});
  context.print(result);
  if (result.ok) return 0;
  throw new MoveError(
    'JOURNAL_BROKEN',
    `The journal's chain breaks at record ${result.firstBad}: it was changed after it was written. Keep the file and compare it with a copy.`,
    { firstBad: result.firstBad },
  );
}

/** Reads on whenever the state says that events came; reading by number misses none and repeats none. */
async function follow(context: CommandContext, link: ControlLink, after: number): Promise<number> {
  let wake: () => void = () => undefined;
  let awake = true;
  let over = false;
  const rouse = () => {
    awake = true;
    wake();
  };
  const stopListening = link.client.listen('state', {}, rouse, () => {
    over = true;
    rouse();
  });
  context.signal.addEventListener('abort', rouse, { once: true });
  try {
    let last = after;
    while (!context.signal.aborted && !over) {
      awake = false;
      last = await printFrom(context, link, last);
      if (!awake)
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
    }
  } finally {
    stopListening();
    context.signal.removeEventListener('abort', rouse);
  }
  if (context.signal.aborted) return 0;
  throw new MoveError(
    'DISCONNECTED',
    'The control plane ended. Run the command again to go on with --after.',
  );
}

async function printFrom(context: CommandContext, link: ControlLink, after: number): Promise<number> {
  let last = after;
  for (;;) {
    const page: OutputOf<'journal.read'> = await link.call('journal.read', { after: last, limit: pageLimit });
    for (const event of page.events) {
      context.print(event);
      last = Math.max(last, Number(event.id));
    }
    if (page.next === null || page.events.length === 0) return last;
  }
}
