import { writeSync } from 'node:fs';
import { openJournal } from '../../../core/journal/journal.ts';

// Run as a process of its own by durability.test.ts: appends until it is killed, and says which sequence
// number it was told after each append, in one write.
const [path, batch] = process.argv.slice(2);
if (!path) throw new Error('a path is needed');
const journal = openJournal({ path });
const size = Number(batch);
for (let round = 0; ; round++) {
  const records = Array.from({ length: size }, (_, index) => ({
    kind: 'observation' as const,
    type: 'written',
    data: { round, index },
  }));
  writeSync(1, `${journal.append(records).at(-1)}\n`);
}
