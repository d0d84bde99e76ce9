import { drillKindSchema } from '../../contract/domain.ts';
import { MoveError } from '../../runtime/errors.ts';
import type { Command } from '../command.ts';
import type { CommandContext } from '../command-context.ts';
import { contractCommand, inputOf, optionsOf } from '../contract-command.ts';
import { type ControlLink, withControl } from '../control-link.ts';
import { bringUp } from '../launch/bring-up.ts';

const waitLimitMs = 30_000;

/** `move drill list`: every drill with its hypothesis. */
export const drillListCommand = contractCommand({ path: ['drill', 'list'], method: 'drill.kinds' });

/** `move drill run`: the main job without a window. */
export const drillCommand: Command = {
  path: ['drill', 'run'],
  summary:
    'Runs a bounded attack inside the lab and prints its report. Exit code 0 when the verdict is true. The service is brought home first.',
  positionals: [{ name: 'KIND', docs: `One of ${drillKindSchema.options.join(', ')}` }],
  options: {
    to: optionsOf('drill.start').to ?? { type: 'text', docs: 'The site to move to.' },
    keep: { type: 'flag', docs: 'Leave lab and control plane running where this command started them.' },
  },
  output: (rooms) => rooms.drillReportSchema(),
  async run(context, parsed) {
    const input = { ...inputOf('drill.start', parsed, ['kind']), autoApprove: true };
    const started = await bringUp(context, { startControl: context.mayStart });
    try {
      return await withControl(context, async (link) => {
        await link.ready({ lab: true });
        let { drill } = await link.call('drill.start', input);
        context.say(`Drill ${drill.id} (${drill.kind}) runs against ${drill.site}.`);
        let said: string | null = null;
        const sayHome = () => {
          if (drill.broughtHomeFrom === null || drill.broughtHomeFrom === said) return;
          said = drill.broughtHomeFrom;
          context.say(
            `The service is at ${said} and is brought home${drill.kind === 'node-flood' ? '' : ` to ${drill.site}`} first.`,
          );
        };
        try {
          for (sayHome(); !['judged', 'aborted', 'failed'].includes(drill.state); sayHome())
            drill = (await link.call('drill.wait', { drill: drill.id, limitMs: waitLimitMs })).drill;
        } catch (thrown) {
          if (context.signal.aborted) await abortDrill(context, link);
          throw thrown;
        }
        if (drill.report) context.print(drill.report);
        if (drill.error) throw MoveError.fromBody(withDetails(drill.error));
        if (!drill.report)
          throw new MoveError('DRILL_NOT_JUDGED', `The drill ended as "${drill.state}" without a report.`, {
            drill: drill.id,
          });
        if (drill.verdict === true) return 0;
        throw new MoveError(
          'HYPOTHESIS_REFUTED',
          'The drill was judged and its hypothesis did not hold. The report says which statement fell.',
          { drill: drill.id },
        );
      });
    } finally {
      if (!parsed.flag('keep')) await started.takeDown();
    }
  },
};

const withDetails = (body: {
  code: string;
  message: string;
  details?: Record<string, unknown> | undefined;
}) => ({
  code: body.code,
  message: body.message,
  details: body.details ?? {},
});

/** An interrupted drill must not go on flooding: the emergency stop is its abort. */
async function abortDrill(context: CommandContext, link: ControlLink): Promise<void> {
  context.say('Interrupted: stopping the drill.');
  await link.client.call('emergency.stop', {}, { deadlineMs: 10_000 });
  await link.client.call('emergency.release', {}, { deadlineMs: 10_000 });
}
