import { MoveError } from '../runtime/errors.ts';

/** The command line was not understood: exit code 2 and a sentence that says what would be. */
export class UsageError extends MoveError {
  constructor(message: string, details: Record<string, unknown> = {}) {
    super('USAGE', message, details);
    this.name = 'UsageError';
  }
}
