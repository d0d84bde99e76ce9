import fc from 'fast-check';
import { frameHeader, frameType } from '../../../core/runtime/link/frames.ts';

/** Anything that fits into JSON, with the words that messages are made of among its keys and values. */
const words = fc.constantFrom(
  ...[
    'kind',
    'service',
    'session',
    'servlet',
    'port',
    'epoch',
    'method',
    'params',
    'code',
    'message',
    'details',
  ],
  ...[
    'peer',
    'identifier',
    'name',
    'address',
    'successors',
    'predecessor',
    'closer',
    'key',
    'record',
    'site',
  ],
  ...['shop.example', 'node-1', '127.0.0.1:7400', 'ring.step', 'ring.notify', 'ring.leaving', '__proto__'],
);
const { json } = fc.letrec<{ json: unknown }>((tie) => ({
  json: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.oneof(fc.constant(null), fc.boolean(), fc.integer(), fc.double(), fc.string(), words),
    fc.array(tie('json'), { maxLength: 4 }),
    fc.dictionary(fc.oneof(words, fc.string()), tie('json'), { maxKeys: 5 }),
  ),
}));

/** A value of JSON as a peer could send it. */
export const wireValue: fc.Arbitrary<unknown> = json;

const port = fc.oneof(fc.constant(80), wireValue);
const epoch = fc.oneof(fc.constant(1), wireValue);
const name = fc.oneof(fc.constantFrom('shop.example', 'a1', '192.0.2.7', '127.0.0.1:7400'), wireValue);

/** The header of a stream of any kind, now and then with something in it that does not belong there. */
export const streamHeader: fc.Arbitrary<unknown> = fc.oneof(
  fc.record({ kind: fc.constant('service'), service: name, port }),
  fc.record({ kind: fc.constant('servlet'), service: name, site: name, address: name, port, epoch }),
  fc.record({ kind: fc.constant('session'), service: name, epoch, port }),
  fc.record({ kind: fc.constant('relay'), host: name, port }),
  fc.record({
    kind: fc.constantFrom('state', 'advance', 'storage', '__proto__'),
    move: wireValue,
    service: name,
  }),
  wireValue,
);

/** Bytes cut into chunks anywhere, as a socket hands them out. */
export function chunked(bytes: fc.Arbitrary<Uint8Array>): fc.Arbitrary<Buffer[]> {
  return fc.tuple(bytes, fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 6 })).map(([whole, cuts]) => {
    const chunks: Buffer[] = [];
    let rest = Buffer.from(whole);
    for (const cut of cuts) {
      if (rest.length === 0) break;
      chunks.push(rest.subarray(0, cut));
      rest = rest.subarray(cut);
    }
    if (rest.length > 0) chunks.push(rest);
    return chunks;
  });
}

const body = fc.oneof(
  fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
  fc.oneof(wireValue, streamHeader).map((value) => Buffer.from(JSON.stringify(value) ?? 'null')),
);
const type = fc.oneof(
  { weight: 9, arbitrary: fc.constantFrom(...Object.values(frameType)) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 255 }) },
);
const identifier = fc.oneof(
  { weight: 5, arbitrary: fc.integer({ min: 0, max: 8 }) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 0xffffffff }) },
);

/** One frame of a link; its length says now and then something else than how long it is. */
const frame = fc
  .tuple(
    type,
    identifier,
    body,
    fc.oneof({ weight: 12, arbitrary: fc.constant(null) }, fc.integer({ min: 0, max: 0xffffff })),
  )
  .map(([kind, id, content, claimed]) =>
    Buffer.concat([frameHeader(kind, id, claimed ?? content.length), content]),
  );

/** What a peer that obeys nothing may say on a link. */
export const linkBytes: fc.Arbitrary<Uint8Array> = fc
  .array(
    fc.oneof({ weight: 14, arbitrary: frame }, { weight: 1, arbitrary: fc.uint8Array({ maxLength: 30 }) }),
    {
      maxLength: 8,
    },
  )
  .map((parts) => Buffer.concat(parts));
