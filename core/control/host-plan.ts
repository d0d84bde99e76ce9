import type { AgentConfiguration, Endpoint } from '../contract/agent-contract.ts';
import type { FleetHost, FleetInventory } from '../fleet/inventory.ts';
import type { FleetManifest, LabHost } from '../lab/manifest.ts';
import { stoneSocket } from '../lab/ssh-files.ts';
import { lastingPort } from '../moves/stone-path.ts';
import { suitableSuccessorListLength } from '../ring/ring-node-options.ts';
import { MoveError } from '../runtime/errors.ts';
import { passageTo } from './granted-ways.ts';

/** The port on which overlay nodes, sites and stones take links. */
export const linkPort = 7400;

/** The address by which the world reaches a host. */
export function publicAddress(host: LabHost): string {
  const address = host.addresses.primary ?? host.addresses.global;
  if (!address) throw new MoveError('MANIFEST_INVALID', `The host ${host.name} has no public address.`);
  return address;
}

/** Where a host takes links from outside its ISP. */
export function endpointOf(host: LabHost): Endpoint {
  return { name: host.name, address: publicAddress(host), port: linkPort };
}

/** How long the successor lists of this ring are: what the specification says, else what suits its size. */
export function successorListLengthOf(manifest: FleetManifest): number {
  const members = Object.values(manifest.hosts).filter(({ role }) => role === 'overlay').length;
  return manifest.ring?.successorListLength ?? suitableSuccessorListLength(members);
}

/** Where a stone takes links from inside its ISP. */
function stoneEndpoint(host: LabHost): Endpoint {
  const address = host.addresses.internal ?? host.addresses.secondary;
  if (!address)
    throw new MoveError('MANIFEST_INVALID', `The stepping stone ${host.name} has no address inside its ISP.`);
  return { name: host.name, address, port: linkPort };
}

/**
 * The inventory by which SSH reaches every host of a lab: from the admin host to whatever has a public
 * address, to stones by the sockets they dialled out to, to sites through their stone. An organisation that shares an
 * overlay goes the same way and may do nothing on it but pass.
 */
export function inventoryOf(manifest: FleetManifest, hostKeySha256: string): FleetInventory {
  const reach = (host: LabHost): FleetHost['reach'] => {
    if (host.role === 'admin') return { kind: 'entry' };
    if (manifest.isShare)
      return { kind: 'passage', from: host.viaStone ?? 'admin', command: passageTo(host.name) };
    if (host.role === 'stone') return { kind: 'dialled-out', from: 'admin', socket: stoneSocket(host.name) };
    return { kind: 'tcp', from: host.viaStone ?? 'admin', address: host.ssh.address, port: host.ssh.port };
  };
  return {
    entry: { socketPath: manifest.bridgeSocket },
    user: manifest.sshUser,
    keyPath: manifest.sshKeyPath,
    hostKeys: { '*': hostKeySha256 },
    hosts: Object.fromEntries(
      Object.values(manifest.hosts).map((host) => [
        host.name,
        { name: host.name, role: host.role, ...(host.isp ? { isp: host.isp } : {}), reach: reach(host) },
      ]),
    ),
  };
}

/** The roles that a host's agent shall have, from where it stands in the network. */
export function rolesOf(
  host: LabHost,
  manifest: FleetManifest,
  identifiers: ReadonlyMap<string, string>,
): AgentConfiguration['roles'] {
  const hosts = Object.values(manifest.hosts);
  const overlay = hosts.filter((other) => other.role === 'overlay').map(endpointOf);
  if (host.role === 'overlay')
    return {
      overlay: {
        listen: endpointOf(host),
        peers: overlay.map((peer) => ({ ...peer, identifier: identifiers.get(peer.name) ?? '' })),
        successorListLength: successorListLengthOf(manifest),
        primaryInterface: host.interfaces.global ?? 'global',
        primaryCapacityMbit: host.rateMbit.global ?? 0,
        homes: manifest.services.map(({ hostname, homeSite }) => ({ service: hostname, site: homeSite })),
      },
    };
  if (host.role === 'stone')
    return {
      stone: {
        isp: host.isp ?? '',
        listen: stoneEndpoint(host),
        allowed: [
          ...overlay,
          ...hosts
            .filter((other) => other.role === 'site')
            .map(endpointOf)
            .map((site) => ({ ...site, port: lastingPort(site) })),
        ],
      },
    };
  const stone = host.viaStone ? manifest.hosts[host.viaStone] : undefined;
  if (host.role !== 'site' || !stone)
    throw new MoveError('MANIFEST_INVALID', `The host ${host.name} has no stepping stone.`);
  return {
    site: {
      isp: host.isp ?? '',
      listen: endpointOf(host),
      primaryInterface: host.interfaces.primary ?? 'primary',
      secondaryInterface: host.interfaces.secondary ?? 'secondary',
      primaryCapacityMbit: host.rateMbit.primary ?? 0,
      stone: stoneEndpoint(stone),
      overlay,
    },
  };
}
