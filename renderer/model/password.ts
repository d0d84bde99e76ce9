const alphabet = 'abcdefghijkmnpqrstuvwxyz23456789';

/** 0 too short, 1 weak, 2 fair, 3 strong: from the length and the kinds of characters. */
export function strengthOf(password: string): 0 | 1 | 2 | 3 {
  if (password.length < 8) return 0;
  const kinds = [/[a-z]/, /[A-Z]/, /\d/, /[^a-zA-Z\d]/].filter((kind) => kind.test(password)).length;
  const different = new Set(password).size;
  const bits = Math.min(password.length, different * 2) * [0, 3.2, 4.2, 4.9, 5.4][kinds]!;
  return bits < 45 ? 1 : bits < 72 ? 2 : 3;
}

/** Four groups of five characters that are not mistaken for each other: 100 bits. */
export function makePassword(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(20));
  const letters = Array.from(bytes, (byte) => alphabet[byte % alphabet.length]!);
  return [0, 5, 10, 15].map((from) => letters.slice(from, from + 5).join('')).join('-');
}
