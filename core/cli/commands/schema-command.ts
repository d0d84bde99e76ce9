import { z } from 'zod';
import { contract } from '../../contract/contract.ts';
import { errorBodySchema } from '../../contract/domain.ts';
import type { Command } from '../command.ts';
import type { CliRooms } from '../rooms.ts';
import { UsageError } from '../usage-error.ts';

type SchemaSource = (rooms: CliRooms) => z.ZodType | Promise<z.ZodType>;

/** Every schema by the name that a person would give it: the command, or the contract's own name. */
export function schemaSources(commands: readonly Command[]): Map<string, SchemaSource> {
  const sources = new Map<string, SchemaSource>();
  for (const [name, definition] of Object.entries(contract)) sources.set(name, () => definition.output);
  for (const command of commands) if (command.output) sources.set(command.path.join(' '), command.output);
  sources.set('error', () => z.object({ error: errorBodySchema }));
  return sources;
}

/** `move schema NAME`, over the commands that are given. */
export function schemaCommand(commands: readonly Command[]): Command {
  return {
    path: ['schema'],
    summary: "Prints the JSON schema of a command's output; without a name, the names.",
    positionals: [
      { name: 'NAME', docs: 'a command such as "drill run", or a name of the contract', optional: true },
      { name: 'WORD', docs: "the command's further words", optional: true },
    ],
    async run(context, parsed) {
      const sources = schemaSources(commands);
      const name = parsed.positionals.join(' ');
      if (name === '') {
        context.print({ schemas: [...sources.keys()].sort() });
        return 0;
      }
      const source = sources.get(name) ?? sources.get(name.replaceAll('.', ' '));
      if (!source)
        throw new UsageError(`There is no schema "${name}". "move schema" lists the names.`, { name });
      context.print(z.toJSONSchema(await source(context.rooms), { io: 'output', unrepresentable: 'any' }));
      return 0;
    },
  };
}
