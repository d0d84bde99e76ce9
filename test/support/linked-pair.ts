import { type Duplex, duplexPair } from 'node:stream';

/** Two ends of a connection in memory: when one is destroyed the other closes too, as with a socket. */
export function linkedPair(): [Duplex, Duplex] {
  const [near, far] = duplexPair();
  near.on('close', () => far.destroy());
  far.on('close', () => near.destroy());
  return [near, far];
}
