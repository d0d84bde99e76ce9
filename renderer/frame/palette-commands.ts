import { movePolicySchema, pathPolicySchema } from '../../core/contract/domain.ts';
import type { ConsoleState } from '../../core/contract/state.ts';
import { consoleInfo, movesUnderWay, servicesByName, waitingProposals } from '../model/reading.ts';
import * as commands from '../store/commands.ts';
import { useUi, views } from '../store/ui-store.ts';
import { text } from '../text.ts';
import { themeChoices, useTheme } from '../theme.ts';

/** One line of the palette. */
export interface PaletteCommand {
  id: string;
  label: string;
  keys?: string;
  tone?: 'decision' | 'attack';
  run(): void;
}

/** Every command that makes sense now, what is asked of the person first. */
export function paletteCommands(state: ConsoleState, mayAct: boolean): PaletteCommand[] {
  const ui = useUi.getState();
  const list: PaletteCommand[] = [];
  const add = (label: string, run: () => void, more: Partial<PaletteCommand> = {}) =>
    list.push({ id: label, label, run, ...more });

  if (mayAct) {
    for (const proposal of waitingProposals(state.proposals)) {
      add(text.palette.approve(proposal), () => void commands.approve(proposal.id), { tone: 'decision' });
      add(text.palette.decline(proposal), () => void commands.decline(proposal.id), { tone: 'decision' });
    }
    for (const move of movesUnderWay(state)) {
      if (move.state === 'paused')
        add(text.palette.continueMove(move.service), () => void commands.continueMove(move.id), {
          tone: 'decision',
        });
      if (move.state !== 'committed')
        add(text.palette.takeBack(move.service), () => void commands.cancelMove(move.id), {
          tone: 'decision',
        });
    }
    if (consoleInfo(state)?.halted) add(text.stop.release, () => void commands.release());
    else add(text.stop.button, () => void commands.stopEverything(), { keys: 'Ctrl .', tone: 'attack' });
  }
  views.forEach((view, index) => {
    add(text.palette.go(text.views[view]), () => ui.show(view), { keys: String(index + 1) });
  });
  if (mayAct) {
    for (const service of servicesByName(state.services)) {
      add(text.palette.moveNow(service.id), () => ui.open({ kind: 'move', service: service.id, to: null }));
      if (service.site !== service.homeSite)
        add(text.palette.moveBack(service.id, service.homeSite), () =>
          ui.open({ kind: 'move', service: service.id, to: service.homeSite }),
        );
      for (const policy of movePolicySchema.options)
        if (policy !== service.policy)
          add(
            text.palette.policy(service.id, text.service.policies[policy]),
            () =>
              void commands.run('service.policy', { service: service.id, policy }, (o) =>
                text.service.policySet(o.service, text.service.policies[o.policy]),
              ),
          );
      for (const policy of pathPolicySchema.options)
        if (policy !== service.path.policy)
          add(
            text.palette.path(service.id, text.service.paths.policies[policy]),
            () => void commands.setPath(service.id, { policy, nearest: 1 }),
          );
    }
    add(text.palette.issue, () => {
      ui.show('credentials');
      ui.open({ kind: 'issue' });
    });
    add(text.palette.sign, () => {
      ui.show('credentials');
      ui.open({ kind: 'sign' });
    });
    for (const service of servicesByName(state.services))
      add(text.palette.letIn(service.id), () => {
        ui.show('services');
        ui.open({ kind: 'let-in', service: service.id });
      });
    add(text.palette.flood, () => void commands.startFlood({ seconds: 20 }));
    for (const kind of ['udp-flood', 'node-flood', 'quiet-minute', 'honest-surge'] as const)
      add(text.palette.drill(text.drill.kinds[kind]!), () => void commands.startDrill({ kind }));
    add(text.ring.verify, () => void commands.verifyRing());
    add(text.journal.verify, () => void commands.verifyJournal());
  }
  add(text.palette.visitors, () => {
    ui.list('visitors');
    ui.show('credentials');
  });
  for (const choice of themeChoices)
    add(text.palette.theme(text.theme[choice]), () => useTheme.getState().choose(choice));
  add(text.palette.shortcuts, () => ui.open({ kind: 'shortcuts' }), { keys: '?' });
  return list;
}

/** Commands that hold every word of what was typed, in their order. */
export function matching(list: readonly PaletteCommand[], typed: string): PaletteCommand[] {
  const words = typed.toLowerCase().split(/\s+/).filter(Boolean);
  return list.filter((command) => words.every((word) => command.label.toLowerCase().includes(word)));
}
