import { MoveError } from '../runtime/errors.ts';
import { runChecked } from '../runtime/process.ts';
import type { Rotation } from './control-protocol.ts';
import { type HostPlan, type LabPlan, stoneAddress } from './plan.ts';
import type { LabSpec } from './spec.ts';

const mostOldAddresses = 2;
const limit = { timeoutMs: 5_000 };

/**
 * Changes the stones' global addresses, make before break: the new one is preferred at once, the last two
 * old ones stay for the connections that still use them.
 */
export class StoneRotation {
  readonly #spec: LabSpec;
  readonly #plan: LabPlan;
  readonly #turns = new Map<string, number>();
  readonly #old = new Map<string, string[]>();

  constructor(spec: LabSpec, plan: LabPlan) {
    this.#spec = spec;
    this.#plan = plan;
  }

  /**
   * Gives a stone its next global address; with `dropOld` the old ones go at once.
   * @throws MoveError `NOT_A_STONE`
   */
  async rotate(host: HostPlan, dropOld: boolean): Promise<Rotation> {
    const port = host.ports.find(({ link }) => link === 'global');
    if (host.role !== 'stone' || !port) {
      throw new MoveError(
        'NOT_A_STONE',
        `${host.name} is not a stepping stone: only their addresses rotate.`,
        {
          host: host.name,
        },
      );
    }
    const ispIndex = this.#spec.isps.findIndex(({ name }) => name === host.isp);
    const stoneIndex = this.#spec.isps[ispIndex]!.stones.findIndex(({ name }) => name === host.name);
    const turn = (this.#turns.get(host.name) ?? 0) + 1;
    const before = port.address;
    const address = stoneAddress(ispIndex, stoneIndex, turn);
    const admit = [
      `add element inet lab stones { ${address} }`,
      `add element inet lab bound { "${port.routerInterface}" . ${address} }`,
    ];
    await this.#router(port.router, admit);
    await ip(port.router, [`route replace ${address}/32 dev ${port.routerInterface}`]);
    await ip(host.name, [
      `addr replace ${address}/32 dev global`,
      `route replace default via 169.254.1.1 dev global onlink src ${address}`,
      `addr change ${before}/32 dev global preferred_lft 0`,
    ]);
    this.#turns.set(host.name, turn);
    const old = [...(this.#old.get(host.name) ?? []), before].filter((each) => each !== address);
    const kept = dropOld ? [] : old.slice(-mostOldAddresses);
    for (const gone of old.filter((each) => !kept.includes(each))) {
      await ip(host.name, [`addr del ${gone}/32 dev global`]);
      await ip(port.router, [`route del ${gone}/32 dev ${port.routerInterface}`]);
      await this.#router(port.router, [
        `delete element inet lab bound { "${port.routerInterface}" . ${gone} }`,
        `delete element inet lab stones { ${gone} }`,
      ]);
    }
    this.#old.set(host.name, kept);
    this.#remember(host, before, address);
    return { address, oldAddresses: kept };
  }

  /** A power cycle must come back with the new address. */
  #remember(host: HostPlan, before: string, address: string): void {
    const port = host.ports.find(({ link }) => link === 'global');
    if (port) port.address = address;
    const netns = this.#plan.netns.get(host.name);
    if (netns)
      netns.ip = netns.ip.map((line) =>
        line.replaceAll(`${before}/32`, `${address}/32`).replace(`src ${before}`, `src ${address}`),
      );
  }

  async #router(router: string, lines: string[]): Promise<void> {
    await runChecked('nsenter', [`--net=/run/netns/${router}`, 'nft', '-f', '-'], {
      ...limit,
      input: `${lines.join('\n')}\n`,
    });
  }
}

async function ip(netns: string, lines: string[]): Promise<void> {
  await runChecked('ip', ['-n', netns, '-batch', '-'], { ...limit, input: lines.join('\n') });
}
