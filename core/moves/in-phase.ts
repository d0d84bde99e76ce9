import type { MovePhaseName } from '../contract/domain.ts';
import { MoveError, toMoveError } from '../runtime/errors.ts';

/** The error of an agent's step, which says beside all else in which phase it was. */
export function inPhase(phase: MovePhaseName, thrown: unknown): MoveError {
  const { code, message, details } = toMoveError(thrown);
  return new MoveError(code, message, { ...details, phase }, thrown);
}
