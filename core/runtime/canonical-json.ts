import { MoveError } from './errors.ts';

/** What JSON can hold. Properties whose value is `undefined` count as absent. */
export type JsonValue = null | boolean | number | string | readonly JsonValue[] | JsonObject;
export interface JsonObject {
  readonly [name: string]: JsonValue | undefined;
}

/** Nesting beyond this is refused, so that a cycle or a hostile value cannot exhaust the stack. */
export const MAX_JSON_DEPTH = 128;

/**
 * The one text of a JSON value, after RFC 8785 (JSON Canonicalization Scheme): no white space, object
 * names sorted by UTF-16 code units, numbers and strings as ECMAScript writes them. Equal values give
 * equal bytes, so the text can be hashed and signed. Properties that are `undefined` are left out.
 *
 * @throws MoveError `VALUE_NOT_JSON` for NaN, infinities, bigint, functions, class instances, lone
 * surrogates, holes or `undefined` inside arrays, and nesting deeper than {@link MAX_JSON_DEPTH}.
 */
export function canonicalJson(value: unknown): string {
  return write(value, 0, '$');
}

function write(value: unknown, depth: number, path: string): string {
  if (depth > MAX_JSON_DEPTH) throw notJson(path, `is nested deeper than ${MAX_JSON_DEPTH} levels`);
  if (value === null || typeof value === 'boolean') return String(value);
  if (typeof value === 'number') return writeNumber(value, path);
  if (typeof value === 'string') return writeString(value, path);
  if (Array.isArray(value)) {
    const parts: string[] = [];
    for (let index = 0; index < value.length; index++) {
      parts.push(write(value[index], depth + 1, `${path}[${index}]`));
    }
    return `[${parts.join(',')}]`;
  }
  if (isPlainObject(value)) {
    const parts: string[] = [];
    // The default sort compares UTF-16 code units, which is exactly what RFC 8785 section 3.2.3 asks.
    for (const name of Object.keys(value).sort()) {
      const member = value[name];
      if (member === undefined) continue;
      parts.push(`${writeString(name, path)}:${write(member, depth + 1, `${path}.${name}`)}`);
    }
    return `{${parts.join(',')}}`;
  }
  throw notJson(path, `is of a kind that JSON does not have (${describe(value)})`);
}

function writeNumber(value: number, path: string): string {
  if (!Number.isFinite(value)) throw notJson(path, `is ${value}, which JSON cannot hold`);
  return JSON.stringify(value);
}

function writeString(value: string, path: string): string {
  if (!value.isWellFormed()) throw notJson(path, 'holds half of a surrogate pair');
  return JSON.stringify(value);
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

function describe(value: unknown): string {
  return typeof value === 'object' && value !== null ? value.constructor.name : typeof value;
}

function notJson(path: string, what: string): MoveError {
  return new MoveError('VALUE_NOT_JSON', `The value at ${path} ${what}. Give plain JSON data only.`, {
    path,
  });
}
