import { z } from 'zod';
import { contract, type InputOf, type MethodName, type OutputOf } from '../contract/contract.ts';
import type { Command, OptionSpec, PositionalSpec } from './command.ts';
import { type ControlLink, withControl } from './control-link.ts';
import type { ParsedArguments } from './parsed-arguments.ts';
import { UsageError } from './usage-error.ts';

interface FieldSchema {
  type?: string;
  description?: string;
  enum?: unknown[];
  items?: FieldSchema;
}

const dashed = (field: string) => field.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** The fields of a method's input, as JSON schema says them. */
function fieldsOf(method: MethodName): { fields: Record<string, FieldSchema>; required: string[] } {
  const schema = z.toJSONSchema(contract[method].input, { io: 'input' }) as {
    properties?: Record<string, FieldSchema>;
    required?: string[];
  };
  return { fields: schema.properties ?? {}, required: schema.required ?? [] };
}

const docsOf = (field: FieldSchema) =>
  [field.description, field.enum && `one of ${field.enum.join(', ')}`].filter(Boolean).join('; ');

/** The command-line options for the fields of a method's input; `without` are said in another way. */
export function optionsOf(method: MethodName, without: readonly string[] = []): Record<string, OptionSpec> {
  const { fields, required } = fieldsOf(method);
  const options: Record<string, OptionSpec> = {};
  for (const [name, field] of Object.entries(fields)) {
    if (without.includes(name)) continue;
    const type = (field.type === 'array' ? field.items?.type : field.type) ?? 'string';
    options[dashed(name)] = {
      type: type === 'boolean' ? 'flag' : type === 'number' || type === 'integer' ? 'number' : 'text',
      docs: docsOf(field),
      ...(field.type === 'array' ? { repeatable: true } : {}),
      ...(required.includes(name) ? { required: true } : {}),
    };
  }
  return options;
}

/**
 * The input of a method from the command line, checked here too so that a typing mistake is a usage error
 * with the name that was typed.
 */
export function inputOf<N extends MethodName>(
  method: N,
  parsed: ParsedArguments,
  positionals: readonly string[],
  spelling: Partial<Record<string, (typed: string) => string>> = {},
): InputOf<N> {
  const { fields } = fieldsOf(method);
  const input: Record<string, unknown> = {};
  for (const name of Object.keys(fields)) {
    const at = positionals.indexOf(name);
    const value = at >= 0 ? parsed.positionals[at] : parsed.values[dashed(name)];
    if (value !== undefined)
      input[name] = typeof value === 'string' ? (spelling[name]?.(value) ?? value) : value;
  }
  return checkInput(method, input, positionals);
}

/** @throws UsageError naming the argument as it is typed. */
export function checkInput<N extends MethodName>(
  method: N,
  input: Record<string, unknown>,
  positionals: readonly string[] = [],
): InputOf<N> {
  const checked = contract[method].input.safeParse(input);
  if (checked.success) return input as InputOf<N>;
  const issue = checked.error.issues[0];
  const field = String(issue?.path[0] ?? '');
  const typed = positionals.includes(field) ? field.toUpperCase() : `--${dashed(field)}`;
  throw new UsageError(`${typed}: ${issue?.message ?? 'is not valid'}.`, { field });
}

export interface ContractCommandOptions<N extends MethodName> {
  path: readonly string[];
  method: N;
  /** Input fields that are given by place. */
  positionals?: readonly (keyof InputOf<N> & string)[];
  /** How a field is written in the contract, for example a serial number without colons. */
  spelling?: Partial<Record<keyof InputOf<N> & string, (typed: string) => string>>;
  /** Turns what was typed into what is meant, for example a short name into a service. */
  refine?: (input: InputOf<N>, link: ControlLink) => Promise<InputOf<N>>;
  /** The exit code for an answer; 0 otherwise. */
  exitCode?: (output: OutputOf<N>) => number;
}

/** A command that is one call of the contract: arguments, docs, checks and output all come from there. */
export function contractCommand<N extends MethodName>(options: ContractCommandOptions<N>): Command {
  const { method, path } = options;
  const places = options.positionals ?? [];
  const { fields, required } = fieldsOf(method);
  const positionals: PositionalSpec[] = places.map((name) => ({
    name: name.toUpperCase(),
    docs: docsOf(fields[name] ?? {}) || `the ${name}`,
    ...(required.includes(name) ? {} : { optional: true }),
  }));
  return {
    path,
    summary: contract[method].docs,
    positionals,
    options: optionsOf(method, places),
    output: () => contract[method].output,
    async run(context, parsed) {
      const typed = inputOf(method, parsed, places, options.spelling);
      return withControl(context, async (link) => {
        const input = options.refine ? await options.refine(typed, link) : typed;
        const output = await link.call(method, input);
        context.print(output);
        return options.exitCode?.(output) ?? 0;
      });
    },
  };
}
