import type { Handlers } from '../../../core/contract/channel.ts';
import { type Contract, contract } from '../../../core/contract/contract.ts';
import { emptyState, type StateMessage } from '../../../core/contract/state.ts';
import type { Caller } from '../../../core/control/caller.ts';
import { MoveError } from '../../../core/runtime/errors.ts';

export interface SmallControl {
  handlers: Handlers<Contract, Caller>;
  calls: { method: string; input: unknown; caller: Caller['kind'] }[];
}

/** A control plane in small for the shells' tests: answers what a test gives it, refuses the rest. */
export function smallControl(
  answers: Partial<Handlers<Contract, Caller>> = {},
  state = emptyState(),
): SmallControl {
  const calls: SmallControl['calls'] = [];
  const entries = Object.keys(contract).map((method) => {
    const answer = answers[method as keyof Contract] as ((...a: unknown[]) => unknown) | undefined;
    return [
      method,
      (
        input: unknown,
        context: { caller: Caller; signal: AbortSignal },
        emit: (message: unknown) => void,
      ) => {
        calls.push({ method, input, caller: context.caller.kind });
        if (answer) return answer(input, context, emit);
        if (method === 'state') {
          const snapshot: StateMessage = { kind: 'snapshot', revision: 7, state };
          return emit(snapshot);
        }
        throw new MoveError('NOT_HERE', `${method} is not part of this test.`, { method });
      },
    ];
  });
  return { handlers: Object.fromEntries(entries) as Handlers<Contract, Caller>, calls };
}
