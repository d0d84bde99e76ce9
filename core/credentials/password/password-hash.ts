import { type ScryptOptions, scrypt, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { z } from 'zod';
import type { Random } from '../../runtime/random.ts';

const derive = promisify<string, Buffer, number, ScryptOptions, Buffer>(scrypt);

const base64 = z.string().regex(/^[A-Za-z0-9+/]{22,86}={0,2}$/);

/** A password as it rests: scrypt (RFC 7914) with its parameters. N is at least 2^15, and bounded with r by memory. */
export const passwordHashSchema = z.strictObject({
  algorithm: z.literal('scrypt'),
  N: z
    .number()
    .int()
    .min(2 ** 15)
    .max(2 ** 17)
    .refine((value) => Number.isInteger(Math.log2(value)), 'N is a power of two'),
  r: z.literal(8),
  p: z.number().int().min(1).max(4),
  salt: base64,
  key: base64,
});
export type PasswordHash = z.infer<typeof passwordHashSchema>;

/** What is used for new passwords: 32 MiB, and a tenth of a second of one processor. */
const parameters = { N: 2 ** 15, r: 8, p: 1 } as const;

/** Hashes a password with a new salt. Unicode is brought into one form first (NFC, RFC 8265 section 4.2). */
export async function hashPassword(password: string, random: Random): Promise<PasswordHash> {
  const salt = random.bytes(16);
  const key = await derive(password.normalize('NFC'), salt, 32, withMemory(parameters));
  return { algorithm: 'scrypt', ...parameters, salt: salt.toString('base64'), key: key.toString('base64') };
}

/** True when `password` is the one that was hashed. Takes the same time whether it is or not. */
export async function matchesPassword(password: string, hash: PasswordHash): Promise<boolean> {
  const stored = Buffer.from(hash.key, 'base64');
  const salt = Buffer.from(hash.salt, 'base64');
  const key = await derive(password.normalize('NFC'), salt, stored.length, withMemory(hash));
  return timingSafeEqual(key, stored);
}

/** A hash that no password matches, for names that nobody has: to check it takes as long as any. */
export function hashOfNobody(random: Random): PasswordHash {
  const [salt, key] = [random.bytes(16).toString('base64'), random.bytes(32).toString('base64')];
  return { algorithm: 'scrypt', ...parameters, salt, key };
}

function withMemory({ N, r, p }: { N: number; r: number; p: number }): ScryptOptions {
  return { N, r, p, maxmem: 256 * N * r };
}
