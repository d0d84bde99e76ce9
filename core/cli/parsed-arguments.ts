import { UsageError } from './usage-error.ts';

type Value = string | number | boolean | (string | number)[];

/** The arguments of one call, checked against the command's own list. */
export class ParsedArguments {
  readonly values: Readonly<Record<string, Value | undefined>>;
  readonly positionals: readonly string[];
  readonly rest: readonly string[];

  constructor(
    values: Record<string, Value | undefined>,
    positionals: readonly string[],
    rest: readonly string[],
  ) {
    this.values = values;
    this.positionals = positionals;
    this.rest = rest;
  }

  text(name: string): string | undefined {
    const value = this.values[name];
    return typeof value === 'string' ? value : undefined;
  }

  /** @throws UsageError when the option was left out. */
  needText(name: string): string {
    const value = this.text(name);
    if (value === undefined) throw new UsageError(`--${name} is needed.`);
    return value;
  }

  number(name: string): number | undefined {
    const value = this.values[name];
    return typeof value === 'number' ? value : undefined;
  }

  flag(name: string): boolean {
    return this.values[name] === true;
  }

  list(name: string): string[] {
    const value = this.values[name];
    return Array.isArray(value) ? value.map(String) : [];
  }

  /** A positional that parsing has made sure of. */
  at(index: number): string {
    return this.positionals[index] ?? '';
  }
}
