import { drawLetterImage } from '../../core/credentials/human-test/letter-image.ts';
import { canonicalLetters } from '../../core/credentials/human-test/letters.ts';
import { seededRandom } from '../../core/runtime/random.ts';
import { attacks } from './human-test/attacks.ts';

export async function measureOcr(seed: number, count: number) {
  const random = seededRandom(seed);
  const began = performance.now();
  const drawn = Array.from({ length: count }, () => drawLetterImage(random));
  const drawMs = (performance.now() - began) / count;
  const images = drawn.map(({ png }) => png);
  const solvedByAny = new Set<number>();
  const methods = [];
  let letterHits = 0;
  for (const { name, read } of attacks) {
    const start = performance.now();
    const readings = await read(images);
    const solved = drawn.flatMap(({ word }, index) =>
      readings[index]!.some((text) => canonicalLetters(text) === canonicalLetters(word)) ? [index] : [],
    );
    letterHits = 0;
    drawn.forEach(({ word }, i) => { const t = canonicalLetters(readings[i]![0]!); [...word].forEach((l, k) => { if (t[k] === l) letterHits += 1; }); });
    for (const index of solved) solvedByAny.add(index);
    methods.push({ name, letterHits: letterHits / count / 5, solved: solved.length, rate: solved.length / count, msPerImage: (performance.now() - start) / count });
  }
  return { drawMs, bytes: images.reduce((s, i) => s + i.length, 0) / count, methods, solvedByAny: solvedByAny.size };
}
