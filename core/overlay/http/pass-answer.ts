import type { IncomingMessage, ServerResponse } from 'node:http';
import { MoveError } from '../../runtime/errors.ts';

/**
 * Hands a service's answer on with these header fields; a broken answer breaks the asker's connection too. Not by
 * pipeline(): it makes an AbortController and its error, with a stack trace, for each answer, a twelfth of the
 * work of a forwarder.
 */
export function passAnswer(answer: IncomingMessage, response: ServerResponse, headers: string[]): void {
  response.writeHead(answer.statusCode ?? 502, answer.statusMessage, headers);
  const broken = () => response.destroy();
  answer.once('error', broken);
  answer.once('close', () => {
    if (!answer.complete) broken();
  });
  answer.pipe(response);
}

/** What is said when a service hung up instead of answering. */
export function brokeOff(service: string, cause: unknown): MoveError {
  return new MoveError(
    'SERVICE_BROKE_OFF',
    `${service} closed the connection without an answer.`,
    { service },
    cause,
  );
}
