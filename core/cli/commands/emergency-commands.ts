import type { Command } from '../command.ts';
import { contractCommand } from '../contract-command.ts';
import { fullServiceName } from '../service-name.ts';

export const emergencyCommands: readonly Command[] = [
  contractCommand({
    path: ['flood'],
    method: 'flood.start',
    refine: async (input, link) =>
      input.service === undefined ? input : { ...input, service: await fullServiceName(link, input.service) },
  }),
  contractCommand({ path: ['stop'], method: 'emergency.stop' }),
  contractCommand({ path: ['release'], method: 'emergency.release' }),
];
