import { contract } from '../../contract/contract.ts';
import type { Command } from '../command.ts';

export const doctorCommand: Command = {
  path: ['doctor'],
  summary: 'Lists every requirement as ok, missing or degraded, and what to do about each.',
  output: () => contract.doctor.output,
  async run(context) {
    const requirements = await context.rooms.doctor();
    context.print({ requirements });
    return requirements.some((requirement) => requirement.state === 'missing') ? 1 : 0;
  },
};
