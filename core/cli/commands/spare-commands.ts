import type { Command } from '../command.ts';
import { contractCommand } from '../contract-command.ts';
import { fullServiceName } from '../service-name.ts';

export const spareCommands: readonly Command[] = [
  contractCommand({
    path: ['spare', 'keep'],
    method: 'spare.keep',
    positionals: ['service', 'site'],
    refine: async (input, link) => ({ ...input, service: await fullServiceName(link, input.service) }),
  }),
  contractCommand({
    path: ['spare', 'drop'],
    method: 'spare.drop',
    positionals: ['service'],
    refine: async (input, link) => ({ ...input, service: await fullServiceName(link, input.service) }),
  }),
  contractCommand({ path: ['spare', 'list'], method: 'spare.list' }),
];
