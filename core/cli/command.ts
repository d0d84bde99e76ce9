import type { z } from 'zod';
import type { CommandContext } from './command-context.ts';
import type { ParsedArguments } from './parsed-arguments.ts';
import type { CliRooms } from './rooms.ts';

export interface OptionSpec {
  type: 'text' | 'number' | 'flag';
  /** May be given several times. */
  repeatable?: boolean;
  required?: boolean;
  /** How the value is called in the help. */
  value?: string;
  docs: string;
}

export interface PositionalSpec {
  name: string;
  docs: string;
  optional?: boolean;
}

/** One command of the terminal shell: what it takes, what it prints, what it does. */
export interface Command {
  /** The words that call it, for example `['credential', 'issue']`. */
  path: readonly string[];
  summary: string;
  positionals?: readonly PositionalSpec[];
  options?: Readonly<Record<string, OptionSpec>>;
  /** What comes after `--`, passed on untouched. */
  rest?: PositionalSpec;
  /** The schema of what it prints on stdout, for `move schema`. */
  output?: (rooms: CliRooms) => z.ZodType | Promise<z.ZodType>;
  /** Returns the exit code. */
  run(context: CommandContext, parsed: ParsedArguments): Promise<number>;
}

/** Options that every command takes. */
export const globalOptions: Readonly<Record<string, OptionSpec>> = {
  help: { type: 'flag', docs: 'Show what the command takes.' },
  home: {
    type: 'text',
    value: 'DIR',
    docs: 'The state directory. Default: MOVE_HOME, else the XDG state directory.',
  },
  json: { type: 'flag', docs: 'Accepted everywhere: what stands on stdout is always JSON.' },
  yes: { type: 'flag', docs: 'Ask nothing before installing what is missing.' },
  'no-start': { type: 'flag', docs: 'Fail instead of starting a control plane where none runs.' },
};
