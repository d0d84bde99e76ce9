import type { IncomingMessage } from 'node:http';
import { MoveError } from '../../runtime/errors.ts';
import { breakOff, type HttpResponse, writeHead } from './http-exchange.ts';

/**
 * Hands a service's answer on with these header fields; a broken answer breaks the asker's too. Not by
 * pipeline(): it makes an AbortController and its error, with a stack trace, for each answer, a twelfth of the
 * work of a forwarder.
 */
export function passAnswer(answer: IncomingMessage, response: HttpResponse, headers: string[]): void {
  writeHead(response, answer.statusCode ?? 502, headers, answer.statusMessage);
  const broken = () => breakOff(response);
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
