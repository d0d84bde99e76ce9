import { expect, test } from 'vitest';
import { HttpResponseParser, HttpSyntaxError } from '../../../core/measure/http-response-parser.ts';

function parse(text: string, step = text.length, closed = false) {
  const seen = { status: 0, body: '', ended: undefined as boolean | undefined };
  const parser = new HttpResponseParser({
    onHead: (status) => {
      seen.status = status;
    },
    onBody: (bytes) => {
      seen.body += bytes.toString('latin1');
    },
    onEnd: (reusable) => {
      seen.ended = reusable;
    },
  });
  for (let at = 0; at < text.length; at += step)
    parser.push(Buffer.from(text.slice(at, at + step), 'latin1'));
  if (closed) parser.close();
  return seen;
}

const answers: [string, string, { status: number; body: string; ended: boolean | undefined }, boolean?][] = [
  [
    'a counted body',
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello',
    { status: 200, body: 'hello', ended: true },
  ],
  [
    'a chunked body with an extension and a trailer',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nX-A: b\r\n\r\n',
    { status: 200, body: 'hello', ended: true },
  ],
  [
    'a connection that the server will close',
    'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n',
    { status: 200, body: '', ended: false },
  ],
  [
    'an interim answer before the real one',
    'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
    { status: 200, body: 'ok', ended: true },
  ],
  ['HTTP/1.0 to the close', 'HTTP/1.0 200 OK\r\n\r\nabc', { status: 200, body: 'abc', ended: false }, true],
  [
    'a counted body cut off',
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel',
    { status: 200, body: 'hel', ended: undefined },
    true,
  ],
];

for (const [name, text, expected, closed] of answers) {
  test(`${name} is read whole, and the same byte by byte`, () => {
    expect(parse(text, text.length, closed)).toEqual(expected);
    expect(parse(text, 1, closed)).toEqual(expected);
  });
}

for (const [name, text] of [
  ['no HTTP', 'SSH-2.0-OpenSSH_9.2\r\n\r\n'],
  ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n'],
  ['a negative length', 'HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n'],
  ['an unknown transfer coding', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n'],
  ['a bad chunk size', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n'],
  ['a chunk longer than announced', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n'],
  ['bytes after the end', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab'],
  ['an endless head', `HTTP/1.1 200 OK\r\n${'X-Y: z\r\n'.repeat(4000)}`],
] as const) {
  test(`${name} is refused`, () => {
    expect(() => parse(text)).toThrow(HttpSyntaxError);
  });
}
