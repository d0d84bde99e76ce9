import type { Duplex } from 'node:stream';

/**
 * Gives a stream the few methods by which Node's HTTP agent keeps connections: an idle timer and the
 * settings of a TCP socket, which mean nothing on a stream of a link.
 */
export function asHttpSocket<Stream extends Duplex>(stream: Stream): Stream {
  let timer: NodeJS.Timeout | undefined;
  const target = Object.assign(stream, {
    timeout: 0,
    setTimeout(delayMs: number, onTimeout?: () => void) {
      clearTimeout(timer);
      target.timeout = delayMs;
      if (onTimeout) target.once('timeout', onTimeout);
      if (delayMs > 0) {
        timer = setTimeout(() => target.emit('timeout'), delayMs);
        timer.unref();
      }
      return target;
    },
    setKeepAlive: () => target,
    setNoDelay: () => target,
    ref: () => target,
    unref: () => target,
  });
  // A service hangs up on connections that it has kept long enough. The agent looks for a close, not for an
  // end: an idle stream that stayed half open would swallow the next request.
  stream.once('end', () => {
    if ((target as { _httpMessage?: unknown })._httpMessage) stream.end();
    else stream.destroy();
  });
  stream.once('close', () => clearTimeout(timer));
  return target;
}
