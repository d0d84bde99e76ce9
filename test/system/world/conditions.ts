/**
 * Asks again and again until the answer is neither false, null nor undefined, and returns it.
 * @throws Error that names what was waited for and how things stood at the end.
 */
export async function until<T>(
  what: string,
  ask: () => Promise<T> | T,
  limitMs: number,
  everyMs = 50,
): Promise<NonNullable<T>> {
  const deadline = performance.now() + limitMs;
  let fault: unknown = null;
  for (;;) {
    try {
      const answer = await ask();
      if (answer !== false && answer !== null && answer !== undefined) return answer as NonNullable<T>;
      fault = null;
    } catch (thrown) {
      fault = thrown;
    }
    if (performance.now() > deadline)
      throw new Error(
        `Not within ${limitMs} ms: ${what}.${fault instanceof Error ? ` ${fault.message}` : ''}`,
      );
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}
