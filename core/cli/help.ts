import { type Command, globalOptions, type OptionSpec } from './command.ts';
import { commandLine } from './parse.ts';

function table(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(0, ...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`.trimEnd());
}

const optionRow = ([name, spec]: [string, OptionSpec]): [string, string] => [
  `--${name}${spec.type === 'flag' ? '' : ` ${spec.value ?? (spec.type === 'number' ? 'N' : 'TEXT')}`}`,
  `${spec.docs}${spec.repeatable ? ' (repeatable)' : ''}${spec.required ? ' (needed)' : ''}`,
];

/** Help for all commands, or for those whose words begin with `group`. */
export function helpForAll(commands: readonly Command[], group: readonly string[] = []): string {
  const shown = commands.filter((command) => group.every((word, index) => command.path[index] === word));
  return [
    'MOVE Console keeps a service reachable while somebody floods it.',
    '',
    'Usage: move COMMAND [options]     JSON alone on stdout, everything else on stderr.',
    '',
    ...table(shown.map((command) => [usageOf(command).slice('move '.length), command.summary])),
    '',
    'Options of every command:',
    ...table(Object.entries(globalOptions).map(optionRow)),
    '',
    'Exit codes: 0 done, 1 failed (one JSON line {"error": …} on stderr), 2 not understood.',
  ].join('\n');
}

/** The usage line of one command. */
export function usageOf(command: Command): string {
  const positionals = (command.positionals ?? []).map((p) => (p.optional ? `[${p.name}]` : p.name));
  const rest = command.rest ? [`-- ${command.rest.name}`] : [];
  return [commandLine(command), ...positionals, ...rest].join(' ');
}

/** Help for one command. */
export function helpForCommand(command: Command): string {
  const positionals = [...(command.positionals ?? []), ...(command.rest ? [command.rest] : [])];
  return [
    `Usage: ${usageOf(command)} [options]`,
    '',
    command.summary,
    ...(positionals.length > 0 ? ['', ...table(positionals.map((p) => [p.name, p.docs]))] : []),
    '',
    'Options:',
    ...table(Object.entries({ ...command.options, ...globalOptions }).map(optionRow)),
    ...(command.output
      ? ['', `"move schema ${command.path.join(' ')}" prints the JSON schema of its output.`]
      : []),
  ].join('\n');
}
