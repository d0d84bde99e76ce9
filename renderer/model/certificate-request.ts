import { text } from '../text.ts';

const errors = text.credential.sign.errors;

/** The first bytes of DER's types, as far as a request's subject has them. */
const sequence = 0x30;
const set = 0x31;
const integer = 0x02;
const objectIdentifier = 0x06;
/** Kinds of text by their type; those of BMP and of universal strings are not read. */
const encodings: Readonly<Record<number, string>> = {
  12: 'utf-8',
  19: 'utf-8',
  20: 'latin1',
  22: 'utf-8',
};
/** 2.5.4.3 */
const commonName = '550403';

/** The longest request that the contract takes, characters. */
export const longestRequest = 65_536;

/** What is wrong with the text of a request, as far as it can be seen without judging it. */
export function faultOfRequest(pem: string): string | null {
  if (/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(pem)) return errors.key;
  if (pem.length > longestRequest) return errors.tooLong;
  return pem.trimStart().startsWith('-----BEGIN ') ? null : errors.request;
}

interface Value {
  type: number;
  body: Uint8Array;
}

/**
 * Who a certificate request (PKCS#10, PEM) says that it is for: its one common name. Null when the text is no such
 * request, or names nobody or several. Reads the name and judges nothing: that is the authority's part.
 */
export function nameInRequest(pem: string): string | null {
  const base64 = /-----BEGIN (?:NEW )?CERTIFICATE REQUEST-----([\sA-Za-z0-9+/=]+)-----END/.exec(pem)?.[1];
  if (base64 === undefined || pem.length > longestRequest) return null;
  try {
    const bytes = Uint8Array.from(atob(base64.replaceAll(/\s/g, '')), (one) => one.charCodeAt(0));
    const [request] = values(bytes);
    const [information] = values(bodyOf(request, sequence));
    const [version, subject] = values(bodyOf(information, sequence));
    bodyOf(version, integer);
    const names = values(bodyOf(subject, sequence))
      .flatMap((relative) => values(bodyOf(relative, set)))
      .map((attribute) => values(bodyOf(attribute, sequence)))
      .filter(([kind]) => hexadecimal(bodyOf(kind, objectIdentifier)) === commonName)
      .map(([, value]) => textOf(value));
    return names.length === 1 ? names[0]! : null;
  } catch {
    // Whatever is wrong with it, the authority says it in a sentence when it is asked to sign.
    return null;
  }
}

/** The values that stand one after the other. @throws RangeError when they do not fill `bytes` exactly. */
function values(bytes: Uint8Array): Value[] {
  const found: Value[] = [];
  let at = 0;
  while (at < bytes.length) {
    const type = byteAt(bytes, at);
    let length = byteAt(bytes, at + 1);
    at += 2;
    if (length > 0x7f) {
      const digits = length & 0x7f;
      if (digits < 1 || digits > 3) throw new RangeError('length');
      length = 0;
      for (const end = at + digits; at < end; at += 1) length = length * 256 + byteAt(bytes, at);
    }
    if (at + length > bytes.length) throw new RangeError('cut off');
    found.push({ type, body: bytes.subarray(at, at + length) });
    at += length;
  }
  return found;
}

function byteAt(bytes: Uint8Array, at: number): number {
  const byte = bytes[at];
  if (byte === undefined) throw new RangeError('cut off');
  return byte;
}

function bodyOf(value: Value | undefined, type: number): Uint8Array {
  if (value?.type !== type) throw new RangeError('another type');
  return value.body;
}

function textOf(value: Value | undefined): string {
  const encoding = value && encodings[value.type];
  if (!encoding) throw new RangeError('no text');
  return new TextDecoder(encoding, { fatal: true }).decode(value.body);
}

const hexadecimal = (bytes: Uint8Array) =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
