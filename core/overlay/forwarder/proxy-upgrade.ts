import { type Agent, request as httpRequest, type IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { MoveError } from '../../runtime/errors.ts';
import { endToEndHeaders, fieldsOf } from '../http/end-to-end-headers.ts';
import { brokeOff, passAnswer } from '../http/pass-answer.ts';
import { joinStreams } from '../join-streams.ts';

interface Upgraded {
  /** Makes a connection for each request. */
  agent: Agent;
  service: string;
  port: number;
  path: string;
  request: IncomingMessage;
  socket: Duplex;
  /** What came with the request already. */
  head: Buffer;
  fail(error: MoveError): void;
}

/**
 * Asks a service for another protocol, such as a WebSocket, on behalf of a program that asked for it in the absolute
 * form (RFC 9110 §7.8). A service that agrees has the connection to itself; one that answers in HTTP has its answer
 * passed on, and the connection ends with it. Failures, `REQUEST_INVALID` and `SERVICE_BROKE_OFF` among them, go to `fail`.
 */
export function proxyUpgrade(parts: Upgraded): void {
  const { agent, service, port, path, request, socket, head, fail } = parts;
  const { upgrade = '', 'transfer-encoding': coding, 'content-length': length } = request.headers;
  if (coding !== undefined || Number(length ?? 0) > 0) {
    fail(new MoveError('REQUEST_INVALID', 'A request for another protocol has no content here.'));
    return;
  }
  const upstream = httpRequest({
    agent,
    host: service,
    port,
    path,
    method: request.method ?? 'GET',
    headers: [...endToEndHeaders(request.rawHeaders), 'Connection', 'Upgrade', 'Upgrade', upgrade],
    setHost: false,
  });
  const abandon = () => upstream.destroy();
  socket.once('close', abandon);
  upstream.once('upgrade', (answer, stream, early) => {
    socket.off('close', abandon);
    if (socket.destroyed) {
      stream.destroy();
      return;
    }
    const fields = [
      ...endToEndHeaders(answer.rawHeaders),
      'Connection',
      'Upgrade',
      'Upgrade',
      answer.headers.upgrade ?? upgrade,
    ];
    const lines = [...fieldsOf(fields)].map(([name, value]) => `${name}: ${value}\r\n`).join('');
    // Node has checked that no field holds a line's end.
    socket.write(Buffer.from(`HTTP/1.1 101 Switching Protocols\r\n${lines}\r\n`, 'latin1'));
    if (early.length > 0) socket.write(early);
    if (head.length > 0) stream.write(head);
    joinStreams(socket, stream);
  });
  upstream.once('response', (answer) => {
    const response = new ServerResponse(request);
    response.assignSocket(socket as Parameters<ServerResponse['assignSocket']>[0]);
    response.once('finish', () => socket.end());
    passAnswer(answer, response, [...endToEndHeaders(answer.rawHeaders), 'Connection', 'close']);
  });
  upstream.once('error', (thrown) => {
    upstream.on('error', () => undefined);
    socket.off('close', abandon);
    if (!socket.destroyed) fail(thrown instanceof MoveError ? thrown : brokeOff(service, thrown));
  });
  upstream.end();
}
