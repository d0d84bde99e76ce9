import { z } from 'zod';
import { collectionSchemas } from '../../contract/state.ts';
import type { Command } from '../command.ts';
import { contractCommand } from '../contract-command.ts';
import { withControl } from '../control-link.ts';

const status: Command = {
  path: ['status'],
  summary: 'Prints the whole state of the console as it is now.',
  output: () =>
    z.object({
      revision: z.number().int(),
      state: z.object(
        Object.fromEntries(
          Object.entries(collectionSchemas).map(([name, schema]) => [name, z.record(z.string(), schema)]),
        ),
      ),
    }),
  async run(context) {
    return withControl(context, async (link) => {
      context.print(await link.snapshot());
      return 0;
    });
  },
};

export const statusCommands: readonly Command[] = [
  status,
  contractCommand({ path: ['ring', 'show'], method: 'ring.show' }),
  contractCommand({
    path: ['ring', 'verify'],
    method: 'ring.verify',
    exitCode: ({ ok }) => (ok ? 0 : 1),
  }),
];
