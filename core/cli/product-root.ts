import fs from 'node:fs';
import path from 'node:path';
import { MoveError } from '../runtime/errors.ts';

/**
 * The directory of the product that this program belongs to, whether it runs from its sources or from
 * dist: the nearest one above with the product's package.json.
 * @throws MoveError `PRODUCT_INCOMPLETE` when there is none.
 */
export function productRoot(): string {
  for (let directory = import.meta.dirname; ; directory = path.dirname(directory)) {
    const description = path.join(directory, 'package.json');
    if (fs.existsSync(description)) {
      const { name } = JSON.parse(fs.readFileSync(description, 'utf8')) as { name?: string };
      if (name === 'move-console') return directory;
    }
    if (directory === path.dirname(directory))
      throw new MoveError(
        'PRODUCT_INCOMPLETE',
        'This program stands outside of the product. Run it from a checkout or an installation.',
      );
  }
}

/** The built window. */
export const rendererDirectory = () => path.join(productRoot(), 'dist', 'renderer');
