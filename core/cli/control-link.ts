import type { Client } from '../contract/channel.ts';
import type { Contract, InputOf, MethodName, OutputOf } from '../contract/contract.ts';
import type { ConsoleState } from '../contract/state.ts';
import { attachControl } from '../control/attach.ts';
import { MoveError } from '../runtime/errors.ts';
import type { CommandContext } from './command-context.ts';
import { startControlProcess } from './control-process.ts';

/** Milliseconds that an ordinary call may take. */
export const callDeadlineMs = 120_000;

/** Calls of the control plane with this command's cancellation and deadline. */
export interface ControlLink {
  call<N extends MethodName>(method: N, input: InputOf<N>): Promise<OutputOf<N>>;
  /** The whole state as it is now. */
  snapshot(): Promise<{ revision: number; state: ConsoleState }>;
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
    snapshot() {
      return new Promise((resolve, reject) => {
        const fail = (code: string, message: string) => {
          stop();
          reject(new MoveError(code, message));
        };
        const timer = setTimeout(
          () => fail('DEADLINE_EXCEEDED', `The control plane sent no state within ${callDeadlineMs} ms.`),
          callDeadlineMs,
        );
        const onAbort = () => fail('CANCELLED', 'The command was cancelled.');
        signal.addEventListener('abort', onAbort, { once: true });
        const stopListening = client.listen(
          'state',
          {},
          (message) => {
            if (message.kind !== 'snapshot') return;
            stop();
            resolve({ revision: message.revision, state: message.state as unknown as ConsoleState });
          },
          (error) => {
            stop();
            reject(error ? MoveError.fromBody(error) : new MoveError('DISCONNECTED', 'The state ended.'));
          },
        );
        function stop() {
          clearTimeout(timer);
          signal.removeEventListener('abort', onAbort);
          queueMicrotask(() => stopListening());
        }
      });
    },
  };
}
