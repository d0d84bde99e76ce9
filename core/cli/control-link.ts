import type { Client } from '../contract/channel.ts';
import type { Contract, InputOf, MethodName, OutputOf } from '../contract/contract.ts';
import { applyChanges, type ConsoleState, emptyState, type StateMessage } from '../contract/state.ts';
import { attachControl } from '../control/attach.ts';
import { MoveError } from '../runtime/errors.ts';
import type { CommandContext } from './command-context.ts';
import { startControlProcess } from './control-process.ts';

/** Milliseconds that an ordinary call may take. */
export const callDeadlineMs = 120_000;

/** Milliseconds that a starting control plane has to attach to its hosts. */
const readyDeadlineMs = 180_000;

/** Calls of the control plane with this command's cancellation and deadline. */
export interface ControlLink {
  call<N extends MethodName>(method: N, input: InputOf<N>): Promise<OutputOf<N>>;
  /** The whole state as it is now. */
  snapshot(): Promise<{ revision: number; state: ConsoleState }>;
  /**
   * As `snapshot`, but once the control plane has attached to the hosts, or has found that it cannot.
   * Where it still looks for a lab it answers at once, unless `lab` says that one is up.
   */
  ready(options?: { lab: boolean }): Promise<{ revision: number; state: ConsoleState }>;
  readonly client: Client<Contract>;
}

/**
 * Attaches to the control plane of the home, starts one in the background where none runs and it may,
 * and closes the connection when `use` is through.
 * @throws MoveError `CONTROL_ABSENT` with `--no-start` where none runs.
 */
export async function withControl<T>(
  context: CommandContext,
  use: (link: ControlLink) => Promise<T>,
): Promise<T> {
  let client = await attachControl(context.home, 'terminal');
  if (!client) {
    if (!context.mayStart)
      throw new MoveError(
        'CONTROL_ABSENT',
        `No control plane runs in ${context.home}. "move serve" starts one; without --no-start this command does.`,
        { home: context.home },
      );
    context.say(`No control plane runs in ${context.home}: starting one in the background.`);
    await startControlProcess(context, { background: true });
    client = await attachControl(context.home, 'terminal');
    if (!client)
      throw new MoveError(
        'CONTROL_FAILED',
        'The control plane ended right after its start. See control.log.',
        {
          home: context.home,
        },
      );
  }
  try {
    return await use(linkOf(client, context.signal));
  } finally {
    client.close();
  }
}

function linkOf(client: Client<Contract>, signal: AbortSignal): ControlLink {
  return {
    client,
    call: (method, input) =>
      client.call(method, input as never, { signal, deadlineMs: callDeadlineMs }) as Promise<
        OutputOf<typeof method>
      >,
    snapshot: () => watchState(client, signal, callDeadlineMs, () => true),
    ready: ({ lab } = { lab: false }) =>
      watchState(client, signal, readyDeadlineMs, ({ console: { console: info } }) => {
        if (!info) return false;
        return info.phase !== 'starting' || (info.labName === null && !lab);
      }),
  };
}

/**
 * Follows the state until it is as wanted, and answers it.
 * @throws MoveError `DEADLINE_EXCEEDED`, `CANCELLED`, or why the stream ended.
 */
function watchState(
  client: Client<Contract>,
  signal: AbortSignal,
  deadlineMs: number,
  wanted: (state: ConsoleState) => boolean,
): Promise<{ revision: number; state: ConsoleState }> {
  return new Promise((resolve, reject) => {
    let state = emptyState();
    const stop = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      queueMicrotask(() => stopListening());
    };
    const fail = (error: MoveError) => {
      stop();
      reject(error);
    };
    const onAbort = () => fail(new MoveError('CANCELLED', 'The command was cancelled.'));
    const timer = setTimeout(() => {
      const text = state.console.console?.phaseText;
      fail(
        new MoveError(
          'DEADLINE_EXCEEDED',
          `The control plane was not ready within ${deadlineMs} ms${text ? `; it says: ${text}` : '.'}`,
        ),
      );
    }, deadlineMs);
    signal.addEventListener('abort', onAbort, { once: true });
    const stopListening = client.listen(
      'state',
      {},
      (received) => {
        const message = received as unknown as StateMessage;
        state = message.kind === 'snapshot' ? message.state : applyChanges(state, message.changes);
        if (!wanted(state)) return;
        stop();
        resolve({ revision: message.revision, state });
      },
      (error) => fail(error ? MoveError.fromBody(error) : new MoveError('DISCONNECTED', 'The state ended.')),
    );
    if (signal.aborted) onAbort();
  });
}
