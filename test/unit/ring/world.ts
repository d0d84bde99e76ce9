import { serviceKey } from '../../../core/ring/identifier.ts';
import type { Peer, RingCaller } from '../../../core/ring/messages.ts';
import { RingNode } from '../../../core/ring/ring-node.ts';
import { SimulatedClock } from '../../../core/ring/simulation/simulated-clock.ts';
import { SimulatedNetwork } from '../../../core/ring/simulation/simulated-network.ts';
import { seededRandom } from '../../../core/runtime/random.ts';

const still = {
  shortestDelayMs: 5,
  longestDelayMs: 5,
  lossPerMille: 0,
  retransmits: true,
  duplicationPerMille: 0,
};

/** Ring nodes on a simulated clock and a network that only delays. */
export class World {
  readonly clock = new SimulatedClock();
  readonly random = seededRandom(7);
  readonly network = new SimulatedNetwork(this.clock, this.random, still);
  readonly nodes = new Map<string, RingNode>();

  peer(name: string): Peer {
    return { identifier: serviceKey(name), name, address: `${name}:7400` };
  }

  add(peer: Peer, length = 3): RingNode {
    const node = new RingNode({
      self: peer,
      transport: this.network.transportOf(peer),
      clock: this.clock,
      random: this.random,
      successorListLength: length,
    });
    this.network.attach(peer.identifier, (method, params, from) => this.handle(node, method, params, from));
    this.nodes.set(peer.name, node);
    return node;
  }

  /** What a node does with a message; a test with more on its nodes than the ring overrides this. */
  protected handle(node: RingNode, method: string, params: unknown, from: RingCaller): Promise<unknown> {
    return node.handle(method, params, from);
  }

  ring(count: number): Peer[] {
    const peers = Array.from({ length: count }, (_, index) => this.peer(`node-${index + 1}`));
    for (const peer of peers) this.add(peer).create(peers);
    return peers;
  }

  kill(name: string): void {
    const node = this.nodes.get(name);
    if (!node) throw new Error(`no ${name}`);
    this.network.detach(node.status().identifier);
    node.stop();
    this.nodes.delete(name);
  }

  states() {
    return [...this.nodes.values()].map((node) => node.status()).filter((status) => status.member);
  }

  pass(ms: number): Promise<void> {
    return this.clock.runUntil(this.clock.now() + ms);
  }

  /** Lets time pass until `work` is done, at most 20 simulated seconds. */
  async during<T>(work: Promise<T>): Promise<T> {
    let done = false;
    const settled = work.finally(() => {
      done = true;
    });
    settled.catch(() => undefined);
    await this.clock.runUntil(this.clock.now() + 20_000, () => !done);
    if (!done) throw new Error('not done after 20 simulated seconds');
    return await settled;
  }
}
