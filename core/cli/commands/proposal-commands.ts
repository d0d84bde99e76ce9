import { z } from 'zod';
import { proposalSchema } from '../../contract/domain.ts';
import type { Command } from '../command.ts';
import { contractCommand } from '../contract-command.ts';
import { withControl } from '../control-link.ts';

const list: Command = {
  path: ['proposal', 'list'],
  summary: 'Lists proposed moves, newest first.',
  options: { waiting: { type: 'flag', docs: 'Only those that wait for a decision.' } },
  output: () => z.object({ proposals: z.array(proposalSchema) }),
  async run(context, parsed) {
    return withControl(context, async (link) => {
      const { state } = await link.snapshot();
      const proposals = Object.values(state.proposals)
        .filter((proposal) => !parsed.flag('waiting') || proposal.state === 'waiting')
        .sort((a, b) => b.createdAt - a.createdAt);
      context.print({ proposals });
      return 0;
    });
  },
};

export const proposalCommands: readonly Command[] = [
  list,
  contractCommand({ path: ['proposal', 'approve'], method: 'proposal.approve', positionals: ['proposal'] }),
  contractCommand({ path: ['proposal', 'decline'], method: 'proposal.decline', positionals: ['proposal'] }),
];
