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
  const named = new Set<string>();
  for (const [name, value] of fieldsOf(rawHeaders)) {
    if (name.toLowerCase() !== 'connection') continue;
    for (const option of value.split(',')) named.add(option.trim().toLowerCase());
  }
  return [...fieldsOf(rawHeaders)].flatMap(([name, value]) => {
    const known = name.toLowerCase();
    return hopByHop.has(known) || named.has(known) || without.has(known) ? [] : [name, value];
  });
}

/** Names and values of Node's flat list, in order. */
export function* fieldsOf(rawHeaders: readonly string[]): Generator<[name: string, value: string]> {
  for (let index = 0; index + 1 < rawHeaders.length; index += 2)
    yield [rawHeaders[index]!, rawHeaders[index + 1]!];
}
