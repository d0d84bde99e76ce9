import type { ServiceDescription } from '../contract/agent-contract.ts';
import type { ClientHost } from '../contract/domain.ts';
import { type ControlContext, serviceOf } from './control-context.ts';
import { endpointOf, publicAddress } from './host-plan.ts';
import type { Observer } from './observer.ts';
import { Seat, type SeatPath } from './seats.ts';

const seatLifetimeMs = 7 * 24 * 3600 * 1000;
const seatLimitMs = 5_000;

/**
 * Who sits where: on the first client host one seat through the overlay for each service that answers HTTP, on the
 * second one a seat that uses the lab's first service directly.
 */
export class Seating {
  readonly #context: ControlContext;
  readonly #observer: () => Observer;
  readonly #seats: Seat[] = [];

  constructor(context: ControlContext, observer: () => Observer) {
    this.#context = context;
    this.#observer = observer;
  }

  get seats(): readonly Seat[] {
    return this.#seats;
  }

  /** Seats people in front of a service; nobody where it does not answer HTTP. Done already is fine. */
  seat(description: ServiceDescription): void {
    const { manifest } = this.#context;
    const { hostname, probe } = description;
    if (probe.kind !== 'http') return;
    const clients = Object.values(manifest.hosts).filter((host) => host.role === 'client');
    const isFirst = manifest.services[0]?.hostname === hostname;
    const url = isFirst
      ? `http://${hostname}/`
      : `http://${hostname}${probe.port === 80 ? '' : `:${probe.port}`}${probe.path}`;
    this.#place(clients[0]?.name, 'overlay', hostname, () => this.#throughOverlay(hostname, url));
    const home = manifest.hosts[description.homeSite];
    if (isFirst && description.direct && home)
      this.#place(clients[1]?.name, 'direct', hostname, async () => ({
        url,
        limitMs: seatLimitMs,
        direct: { address: publicAddress(home), port: description.port },
      }));
  }

  /** Ends the seats of a service that is gone. */
  clear(service: string): void {
    for (const seat of this.#seats.filter((candidate) => candidate.service === service)) {
      seat.stop();
      this.#observer().unwatch(seat);
      this.#seats.splice(this.#seats.indexOf(seat), 1);
      this.#showActivity(seat.host);
    }
  }

  stop(): void {
    for (const seat of this.#seats) seat.stop();
  }

  async #throughOverlay(hostname: string, url: string): Promise<Record<string, unknown>> {
    const { authority, manifest } = this.#context;
    const hosts = Object.values(manifest.hosts);
    const issued = await authority.issueByHand({
      profile: 'client',
      name: `seat at ${hosts.find((host) => host.role === 'client')?.name}`,
      services: [hostname],
      lifetimeMs: seatLifetimeMs,
    });
    return {
      url,
      limitMs: seatLimitMs,
      overlay: {
        certificatePem: issued.certificatePem,
        keyPem: issued.privateKeyPem,
        trustPem: issued.authorityPem,
        accessPoints: hosts.filter((host) => host.role === 'overlay').map(endpointOf),
      },
    };
  }

  #place(
    host: string | undefined,
    path: SeatPath,
    service: string,
    configuration: () => Promise<Record<string, unknown>>,
  ): void {
    if (!host || this.#seats.some((seat) => seat.service === service && seat.path === path)) return;
    serviceOf(this.#context, service);
    const { fleet, log } = this.#context;
    const seat = new Seat({ fleet, host, path, service, configuration, log });
    this.#seats.push(seat);
    this.#observer().watch(seat);
    seat.start();
    this.#showActivity(host);
  }

  #showActivity(host: string): void {
    const here = this.#seats.filter((seat) => seat.host === host);
    const path = here[0]?.path ?? 'none';
    const services = here.map((seat) => seat.service);
    const way = path === 'overlay' ? 'through the overlay' : 'directly';
    const activity = path === 'none' ? '' : `uses ${services.join(', ')} ${way}`;
    const value: Partial<ClientHost> = { path, services, activity };
    this.#context.store.change([{ op: 'patch', collection: 'clients', id: host, value }]);
  }
}
