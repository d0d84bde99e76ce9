import type { Command } from '../command.ts';
import { contractCommand } from '../contract-command.ts';
import { fullServiceName } from '../service-name.ts';

export const emergencyCommands: readonly Command[] = [
  contractCommand({
    path: ['flood'],
    method: 'flood.start',
    refine: async (input, link) => {
      if (input.service !== undefined)
        return { ...input, service: await fullServiceName(link, input.service) };
      await link.ready();
      return input;
    },
  }),
  contractCommand({ path: ['stop'], method: 'emergency.stop' }),
  contractCommand({ path: ['release'], method: 'emergency.release' }),
];
