import { isNode, LineCounter, parseDocument } from 'yaml';
import type { z } from 'zod';
import { MoveError } from './errors.ts';

/** A fault in a YAML text, where it stands. */
export interface YamlFault {
  /** From 1. */
  line: number;
  /** The path of the field, with dots; empty for the text as a whole. */
  field: string;
  fault: string;
}

const faultsTold = 5;

/**
 * Reads a YAML text that has to match a schema. `what` is what errors call it, for example "lab specification",
 * `source` where it comes from. `further` looks for faults that no schema can know of; it names fields by path.
 * @throws MoveError with `code`; each fault names its line and field.
 */
export function readCheckedYaml<S extends z.ZodType>(
  text: string,
  schema: S,
  naming: { what: string; source: string; code: string },
  further: (value: z.output<S>) => readonly { path: readonly PropertyKey[]; fault: string }[] = () => [],
): z.output<S> {
  const { what, source, code } = naming;
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines });
  // a missing field has no place of its own: then the line of the nearest thing around it
  const lineOf = (path: readonly PropertyKey[]): number => {
    for (let depth = path.length; depth > 0; depth--) {
      const node = document.getIn(path.slice(0, depth), true);
      if (isNode(node) && node.range) return lines.linePos(node.range[0]).line;
    }
    return 1;
  };
  const at = (path: readonly PropertyKey[], fault: string): YamlFault => ({
    line: lineOf(path),
    field: path.join('.'),
    fault,
  });
  const faults: YamlFault[] = document.errors.map((error) => ({
    line: lines.linePos(error.pos[0]).line,
    field: '',
    fault: error.message.split('\n')[0] ?? '',
  }));
  if (faults.length === 0) {
    const parsed = schema.safeParse(document.toJS());
    if (parsed.success) {
      const found = further(parsed.data);
      if (found.length === 0) return parsed.data;
      faults.push(...found.map(({ path, fault }) => at(path, fault)));
    } else faults.push(...parsed.error.issues.map(({ path, message }) => at(path, message)));
  }
  const listed = faults
    .slice(0, faultsTold)
    .map(({ line, field, fault }) => `line ${line}${field ? ` (${field})` : ''}: ${fault}`);
  throw new MoveError(code, `The ${what} ${source} has faults. ${listed.join('; ')}.`, { source, faults });
}
