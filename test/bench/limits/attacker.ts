import { text } from 'node:stream/consumers';
import type { AttackOptions } from './attacks.ts';
import { startAttack } from './attacks.ts';

// One attacker, until it is told to end; then it says what it did.
const counts = await startAttack(JSON.parse(await text(process.stdin)) as AttackOptions);
process.on('SIGTERM', () => {
  const { attempts, refused } = counts;
  process.stdout.write(`${JSON.stringify({ attempts, refused })}\n`, () => process.exit(0));
});
process.stdout.write(`${JSON.stringify({ ready: true })}\n`);
