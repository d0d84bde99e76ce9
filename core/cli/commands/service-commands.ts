import { z } from 'zod';
import { serviceSchema } from '../../contract/domain.ts';
import type { Command } from '../command.ts';
import { contractCommand } from '../contract-command.ts';
import { withControl } from '../control-link.ts';
import { fullServiceName } from '../service-name.ts';

const list: Command = {
  path: ['service', 'list'],
  summary: 'Lists the services: where each lives, its state, its policy.',
  output: () => z.object({ services: z.array(serviceSchema) }),
  async run(context) {
    return withControl(context, async (link) => {
      const { state } = await link.snapshot();
      context.print({ services: Object.values(state.services).sort((a, b) => a.id.localeCompare(b.id)) });
      return 0;
    });
  },
};

export const serviceCommands: readonly Command[] = [
  list,
  contractCommand({
    path: ['service', 'policy'],
    method: 'service.policy',
    positionals: ['service', 'policy'],
    refine: async (input, link) => ({ ...input, service: await fullServiceName(link, input.service) }),
  }),
  contractCommand({
    path: ['service', 'path'],
    method: 'service.path',
    positionals: ['service'],
    refine: async (input, link) => ({ ...input, service: await fullServiceName(link, input.service) }),
  }),
  contractCommand({
    path: ['service', 'paths'],
    method: 'service.paths',
    positionals: ['service'],
    refine: async (input, link) => ({ ...input, service: await fullServiceName(link, input.service) }),
  }),
];
