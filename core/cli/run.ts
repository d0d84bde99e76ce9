import path from 'node:path';
import { RemoteError } from '../contract/channel.ts';
import type { ErrorBody } from '../contract/error-body.ts';
import { controlHome } from '../control/control-home.ts';
import { toMoveError } from '../runtime/errors.ts';
import type { Command } from './command.ts';
import type { CommandContext } from './command-context.ts';
import { helpForAll, helpForCommand } from './help.ts';
import { findCommand, parseArguments } from './parse.ts';
import { UsageError } from './usage-error.ts';

/**
 * Runs one call of `move`. Every fault becomes one JSON line `{"error": …}` on stderr.
 * Answers the exit code: 0 done, 1 failed, 2 not understood.
 */
export async function runMove(
  commands: readonly Command[],
  args: readonly string[],
  outside: Omit<CommandContext, 'home' | 'mayStart'>,
): Promise<number> {
  try {
    const found = findCommand(commands, args);
    if ('group' in found) {
      outside.say(helpForAll(commands, found.group));
      if (found.help) return 0;
      throw new UsageError(
        found.group.length === 0
          ? 'Say what to do: "move COMMAND". The list stands above.'
          : `"move ${found.group.join(' ')}" needs one more word. The list stands above.`,
      );
    }
    const parsed = parseArguments(found.command, found.args);
    if (parsed.flag('help')) {
      outside.say(helpForCommand(found.command));
      return 0;
    }
    const named = parsed.text('home');
    const home = named === undefined ? controlHome(outside.environment) : path.resolve(named);
    const context = { ...outside, home, mayStart: !parsed.flag('no-start') };
    return await found.command.run(context, parsed);
  } catch (thrown) {
    outside.say(JSON.stringify({ error: errorBodyOf(thrown) }));
    return thrown instanceof UsageError ? 2 : 1;
  }
}

/** The error body of anything thrown, from this process or over a channel. */
export function errorBodyOf(thrown: unknown): ErrorBody & { details: Record<string, unknown> } {
  const { code, message, details } = thrown instanceof RemoteError ? thrown : toMoveError(thrown);
  return { code, message, details };
}
