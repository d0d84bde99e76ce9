const hopByHop = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/**
 * The fields of a message that concern more than one connection, as Node's flat list of names and values: the
 * others are not passed on (RFC 9110 §7.6.1), nor those of `without` (lower case).
 */
export function endToEndHeaders(
  rawHeaders: readonly string[],
  without: ReadonlySet<string> = new Set(),
): string[] {
  const named = namedByConnection(rawHeaders);
  const kept: string[] = [];
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const known = rawHeaders[index]!.toLowerCase();
    if (hopByHop.has(known) || named?.has(known) || without.has(known)) continue;
    kept.push(rawHeaders[index]!, rawHeaders[index + 1]!);
  }
  return kept;
}

/** The fields that `Connection` names; undefined where there is none. */
function namedByConnection(rawHeaders: readonly string[]): Set<string> | undefined {
  let named: Set<string> | undefined;
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]!;
    if (name.length !== 10 || name.toLowerCase() !== 'connection') continue;
    named ??= new Set();
    for (const option of rawHeaders[index + 1]!.split(',')) named.add(option.trim().toLowerCase());
  }
  return named;
}

/** Names and values of Node's flat list, in order. */
export function* fieldsOf(rawHeaders: readonly string[]): Generator<[name: string, value: string]> {
  for (let index = 0; index + 1 < rawHeaders.length; index += 2)
    yield [rawHeaders[index]!, rawHeaders[index + 1]!];
}
