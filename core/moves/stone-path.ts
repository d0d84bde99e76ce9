import type { X509Certificate } from 'node:crypto';
import type { Duplex } from 'node:stream';
import type { Endpoint } from '../contract/agent-contract.ts';
import { readIdentity } from '../credentials/identity.ts';
import { MoveError } from '../runtime/errors.ts';
import { dialLastingWay } from '../runtime/link/lasting-dial.ts';
import type { Link, LinkHandlers } from '../runtime/link/link.ts';
import { connectLink, type LinkIdentity } from '../runtime/link/link-tls.ts';

export interface StonePathOptions {
  stone: Endpoint;
  identity: () => LinkIdentity;
  verifyPeer: (certificate: X509Certificate) => void;
}

const deadlineMs = 5_000;
/** How long a link between sites may be without a connection, and a limit of its own pulse above that. */
export const lastingGiveUpMs = 8_000;
export const lastingLimits = { missedPings: 12 };

/** Where a site takes links that outlive the connections through stones: beside the port for everybody else. */
export function lastingPort(endpoint: { port: number }): number {
  return endpoint.port + 1;
}

/**
 * A site's way out when its primary link is taken: one kept link over the secondary address to the
 * stepping stone, which dials whatever the site asks for (MOVE section 2.2.1).
 */
export class StonePath {
  readonly #options: StonePathOptions;
  #link: Promise<Link> | null = null;
  #closed = false;

  constructor(options: StonePathOptions) {
    this.#options = options;
  }

  /** A byte stream to `to`, dialled by the stone. @throws MoveError of the stone, or `LINK_UNREACHABLE`. */
  async dial(to: { address: string; port: number }): Promise<Duplex> {
    const link = await this.#stoneLink();
    return link.openStream({ kind: 'relay', host: to.address, port: to.port }, { deadlineMs });
  }

  /**
   * A link to another host that runs inside a relayed stream: authenticated and encrypted from end to end. To a
   * site it goes on over another stream when the stone changes its address or something on the way breaks.
   * @throws MoveError `ROLE_DENIED` when somebody else answers than the one who was meant.
   */
  async link(to: Endpoint, role: 'site' | 'overlay', handlers: LinkHandlers = {}): Promise<Link> {
    const transport =
      role === 'site'
        ? await dialLastingWay({
            dial: () => this.dial({ address: to.address, port: lastingPort(to) }),
            giveUpMs: lastingGiveUpMs,
          })
        : await this.dial(to);
    return connectLink({
      transport,
      identity: this.#options.identity(),
      verifyPeer: (certificate) => {
        this.#options.verifyPeer(certificate);
        const peer = readIdentity(certificate);
        if (peer.role !== role || peer.name !== to.name)
          throw new MoveError('ROLE_DENIED', `Somebody else answers where ${to.name} should be.`, {
            expected: `${role} ${to.name}`,
            found: `${peer.role} ${peer.name}`,
          });
      },
      handlers,
      deadlineMs,
      ...(role === 'site' ? { limits: lastingLimits } : {}),
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    const link = await this.#link?.catch(() => undefined);
    link?.close();
  }

  #stoneLink(): Promise<Link> {
    if (this.#closed) return Promise.reject(new MoveError('CANCELLED', 'This host is shutting down.'));
    if (this.#link) return this.#link;
    const { stone, identity, verifyPeer } = this.#options;
    const dialling = connectLink({
      transport: { host: stone.address, port: stone.port },
      identity: identity(),
      verifyPeer: (certificate) => {
        verifyPeer(certificate);
        const peer = readIdentity(certificate);
        if (peer.role !== 'stone')
          throw new MoveError('ROLE_DENIED', 'What answers at the stepping stone is not a stone.', {
            role: peer.role,
          });
      },
      deadlineMs,
    });
    this.#link = dialling;
    const forget = () => {
      if (this.#link === dialling) this.#link = null;
    };
    dialling.then((link) => void link.closed.then(forget), forget);
    return dialling;
  }
}
