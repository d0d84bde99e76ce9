/** One thing that the product needs of a machine, and how this machine stands to it. */
export interface Requirement {
  id: string;
  /** `degraded`: the product runs, with something less. */
  state: 'ok' | 'missing' | 'degraded';
  /** What was found, in a sentence. */
  finding: string;
  /** What to do about it; empty when nothing has to be done. */
  remedy: string;
}

export const ok = (id: string, finding: string): Requirement => ({ id, state: 'ok', finding, remedy: '' });
export const missing = (id: string, finding: string, remedy: string): Requirement => ({
  id,
  state: 'missing',
  finding,
  remedy,
});
export const degraded = (id: string, finding: string, remedy: string): Requirement => ({
  id,
  state: 'degraded',
  finding,
  remedy,
});
