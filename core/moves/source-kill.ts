import type { AgentContract } from '../contract/agent-contract.ts';
import type { Client } from '../contract/channel.ts';
import type { Move } from '../contract/domain.ts';
import { type MoveError, toMoveError } from '../runtime/errors.ts';

const killDeadlineMs = 4_000;

/**
 * Has the frozen copy at the source of a committed move killed. Answers null when it is, or why that could not be
 * confirmed: it may be asked for again at any time. A site that knows nothing of the move has no copy of it.
 */
export async function killSource(
  ports: { agent(host: string): Promise<Client<AgentContract>> },
  move: Pick<Move, 'id' | 'from'>,
): Promise<MoveError | null> {
  try {
    const source = await ports.agent(move.from);
    await source.call('source.kill', { move: move.id }, { deadlineMs: killDeadlineMs });
    return null;
  } catch (thrown) {
    const error = toMoveError(thrown);
    return error.code === 'MOVE_UNKNOWN' ? null : error;
  }
}
