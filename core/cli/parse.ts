import { parseArgs } from 'node:util';
import { type Command, globalOptions, type OptionSpec } from './command.ts';
import { ParsedArguments } from './parsed-arguments.ts';
import { UsageError } from './usage-error.ts';

/** How a person types the command. */
export const commandLine = (command: Pick<Command, 'path'>) => `move ${command.path.join(' ')}`;

/** What the words before the options ask for: a command, or a group of them for the help. */
export type Found = { command: Command; args: string[] } | { group: string[]; help: boolean };

/** Options that may stand before the command's words as well. */
function takeLeadingOptions(args: readonly string[]): { leading: string[]; others: string[] } {
  let at = 0;
  while (at < args.length) {
    const word = args[at] ?? '';
    if (!word.startsWith('--') || word === '--') break;
    const [name = ''] = word.slice(2).split('=', 1);
    const spec = globalOptions[name];
    if (!spec)
      throw new UsageError(`There is no option ${word} before the command. "move --help" lists all.`);
    at += spec.type !== 'flag' && !word.includes('=') ? 2 : 1;
  }
  return { leading: args.slice(0, at), others: args.slice(at) };
}

/**
 * Finds the command that the arguments begin with; the longest path wins.
 * @throws UsageError when there is none.
 */
export function findCommand(commands: readonly Command[], args: readonly string[]): Found {
  const { leading, others } = takeLeadingOptions(args);
  const wantsHelp = leading.includes('--help');
  let found: Command | undefined;
  for (const command of commands) {
    const matches = command.path.every((word, index) => others[index] === word);
    if (matches && command.path.length > (found?.path.length ?? 0)) found = command;
  }
  if (found) return { command: found, args: [...leading, ...others.slice(found.path.length)] };
  const end = others.findIndex((word) => word.startsWith('-'));
  const words = end < 0 ? others : others.slice(0, end);
  const group = commands.filter((command) => words.every((word, index) => command.path[index] === word));
  if (group.length > 0) return { group: words, help: wantsHelp || others.includes('--help') };
  const first = commands.filter((command) => command.path[0] === words[0]).map(commandLine);
  throw new UsageError(
    first.length > 0
      ? `There is no command "move ${words.join(' ')}". There are: ${first.join(', ')}.`
      : `There is no command "move ${words.join(' ')}". "move --help" lists all.`,
  );
}

/**
 * Checks and converts a command's arguments.
 * @throws UsageError naming the argument that is wrong, missing or too many.
 */
export function parseArguments(command: Command, args: readonly string[]): ParsedArguments {
  const help = `"${commandLine(command)} --help" lists what it takes.`;
  const separator = command.rest ? args.indexOf('--') : -1;
  const own = separator < 0 ? args : args.slice(0, separator);
  const rest = separator < 0 ? [] : args.slice(separator + 1);
  const specs: Record<string, OptionSpec> = { ...globalOptions, ...command.options };
  const parsed = readOptions(own, specs, help);
  if (parsed.values.help === true) return new ParsedArguments({ help: true }, [], []);

  const values: Record<string, string | number | boolean | (string | number)[] | undefined> = {};
  for (const [name, spec] of Object.entries(specs)) {
    const given = parsed.values[name];
    if (given === undefined) {
      if (spec.required) throw new UsageError(`--${name} is needed. ${help}`);
    } else if (spec.type !== 'number') values[name] = given as string | boolean | string[];
    else
      values[name] = Array.isArray(given)
        ? given.map((one) => readNumber(name, String(one), help))
        : readNumber(name, String(given), help);
  }
  const expected = command.positionals ?? [];
  const missing = expected.find((spec, index) => !spec.optional && parsed.positionals[index] === undefined);
  if (missing) throw new UsageError(`${missing.name} is missing: ${missing.docs}. ${help}`);
  const extra = parsed.positionals[expected.length];
  if (extra !== undefined) throw new UsageError(`"${extra}" is one word too many. ${help}`);
  if (command.rest && !command.rest.optional && rest.length === 0)
    throw new UsageError(`${command.rest.name} is missing after --: ${command.rest.docs}. ${help}`);
  return new ParsedArguments(values, parsed.positionals, rest);
}

function readOptions(args: readonly string[], specs: Record<string, OptionSpec>, help: string) {
  const options = Object.fromEntries(
    Object.entries(specs).map(([name, spec]) => [
      name,
      { type: spec.type === 'flag' ? 'boolean' : 'string', multiple: spec.repeatable === true } as const,
    ]),
  );
  let parsed: ReturnType<typeof parseArgs>;
  try {
    parsed = parseArgs({ args: [...args], options, allowPositionals: true, strict: true, tokens: true });
  } catch (cause) {
    const text = cause instanceof Error ? (cause.message.split('. To specify')[0] ?? '') : String(cause);
    throw new UsageError(`${text.replaceAll('\n', ' ').replace(/\.$/, '')}. ${help}`);
  }
  const seen = new Set<string>();
  for (const token of parsed.tokens ?? []) {
    if (token.kind !== 'option' || specs[token.name]?.repeatable) continue;
    if (seen.has(token.name)) throw new UsageError(`--${token.name} was given twice. ${help}`);
    seen.add(token.name);
  }
  return parsed;
}

function readNumber(name: string, text: string, help: string): number {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (!Number.isFinite(value)) throw new UsageError(`--${name} must be a number, not "${text}". ${help}`);
  return value;
}
