/**
 * Fires once this program shall end: on SIGTERM, SIGINT or SIGHUP, when `released` fires (its standard
 * input closed), or when the process that started it is gone. `dispose` takes the handlers away.
 */
export function stopSignal(released: AbortSignal): { signal: AbortSignal; dispose(): void } {
  const controller = new AbortController();
  const stop = () => controller.abort();
  const names = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;
  for (const name of names) process.on(name, stop);
  const parent = process.ppid;
  const watch = setInterval(() => {
    if (process.ppid !== parent) stop();
  }, 100);
  watch.unref();
  released.addEventListener('abort', stop, { once: true });
  if (released.aborted) stop();
  return {
    signal: controller.signal,
    dispose() {
      clearInterval(watch);
      for (const name of names) process.off(name, stop);
      released.removeEventListener('abort', stop);
    },
  };
}
