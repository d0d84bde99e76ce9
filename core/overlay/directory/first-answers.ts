import type { Clock } from '../../runtime/clock.ts';

/**
 * Waits for several answers at once without letting a silent one hold up the rest: once an answer is
 * `enough`, the others have `graceMs` more; after `deadlineMs` it is over in any case. Returns the answers
 * that came (in order of coming) and the failures. Never rejects.
 */
export function collectAnswers<T>(
  clock: Clock,
  questions: readonly Promise<T>[],
  enough: (answer: T) => boolean,
  times: { graceMs: number; deadlineMs: number },
): Promise<{ answers: T[]; failures: unknown[] }> {
  return new Promise((resolve) => {
    const answers: T[] = [];
    const failures: unknown[] = [];
    let cancelGrace: (() => void) | null = null;
    let over = false;
    const finish = () => {
      if (over) return;
      over = true;
      cancelGrace?.();
      cancelDeadline();
      resolve({ answers: [...answers], failures: [...failures] });
    };
    const cancelDeadline = clock.after(times.deadlineMs, finish);
    const count = () => {
      if (answers.length + failures.length === questions.length) finish();
    };
    for (const question of questions) {
      question.then(
        (answer) => {
          answers.push(answer);
          if (!cancelGrace && enough(answer)) cancelGrace = clock.after(times.graceMs, finish);
          count();
        },
        (thrown) => {
          failures.push(thrown);
          count();
        },
      );
    }
    count();
  });
}
