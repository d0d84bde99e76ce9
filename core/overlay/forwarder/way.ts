import type { Duplex } from 'node:stream';
import type { Link } from '../../runtime/link/link.ts';

/** By which way a connection reaches its service. */
export type Way = 'direct' | 'overlay';

/** Which way a person wants; `auto` is direct while the service is at home and answers, the overlay otherwise. */
export type WantedWay = Way | 'auto';

/** A connection to a service. Bytes may flow before it is accepted. */
export interface Opened {
  stream: Duplex;
  accepted: Promise<void>;
  way: Way;
  /** The link that carries it through the overlay. */
  link?: Link;
}
