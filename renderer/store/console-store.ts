import { create } from 'zustand';
import type { ContractClient } from '../../core/contract/contract.ts';
import { applyChanges, type ConsoleState, emptyState, type StateMessage } from '../../core/contract/state.ts';
import type { Telemetry } from '../../core/contract/telemetry.ts';
import { type Connection, keepConnected, portsOfThisWindow } from '../bridge.ts';
import { telemetry } from './telemetry-store.ts';

interface ConsoleStore {
  connection: Connection;
  client: ContractClient | null;
  /** False until the first snapshot; afterwards the last known state stays, whatever the connection does. */
  known: boolean;
  state: ConsoleState;
  retry: () => void;
}

/** The console's state as core sent it, and how this window stands to core. */
export const useConsole = create<ConsoleStore>(() => ({
  connection: { kind: 'connecting' },
  client: null,
  known: false,
  state: emptyState(),
  retry: () => undefined,
}));

/** Selects from the console's state; the selector must return something that keeps its identity. */
export function useConsoleState<T>(select: (state: ConsoleState) => T): T {
  return useConsole((store) => select(store.state));
}

/** One collection as it is: a record by id. */
export function useCollection<C extends keyof ConsoleState>(name: C): ConsoleState[C] {
  return useConsole((store) => store.state[name]);
}

/** Whether commands may be given now: connected and not read-only. */
export function useMayAct(): boolean {
  return useConsole((store) => store.client !== null && store.state.console.console?.readOnly !== true);
}

/** Connects this window to its control plane and keeps the stores filled. Called once. */
export function startConsole(): void {
  const retry = keepConnected(portsOfThisWindow(), {
    onClient: (client) => useConsole.setState({ client }),
    onConnection: (connection) => useConsole.setState({ connection }),
    start(client, settled, fail) {
      client.listen(
        'state',
        {},
        (message) => {
          take(message as StateMessage);
          if (message.kind === 'snapshot') settled();
        },
        fail,
      );
      client.listen('telemetry', {}, (message) => telemetry.add(message as Telemetry), fail);
    },
  });
  useConsole.setState({ retry });
}

function take(message: StateMessage): void {
  if (message.kind === 'snapshot')
    useConsole.setState({ state: { ...emptyState(), ...message.state }, known: true });
  else useConsole.setState((store) => ({ state: applyChanges(store.state, message.changes) }));
}
