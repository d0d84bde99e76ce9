import type { NodeList } from '../contract/node-list.ts';
import { MoveError } from '../runtime/errors.ts';
import type { StreamRouter } from './stream-router.ts';

export interface ClientCallsParts {
  router: StreamRouter;
  /** The newest signed list of overlay nodes, if there is one. */
  nodeList: () => NodeList | undefined;
}

/** What an access point answers to clients beside carrying their connections. */
export function registerClientCalls({ router, nodeList }: ClientCallsParts): void {
  router.registerCall({
    method: 'nodes.list',
    roles: ['client', 'overlay'],
    handle: () => {
      const list = nodeList();
      if (!list)
        throw new MoveError('NODE_LIST_MISSING', 'This access point has no list of overlay nodes yet.');
      return { list };
    },
  });
}
