import type { LabHost, LabLinkName, LabManifest } from './manifest.ts';
import type { LabSpec, LinkSpec } from './spec.ts';

/** What has to be done inside one network namespace, as input for ip, tc and nft. */
export interface NetnsPlan {
  name: string;
  router: boolean;
  ip: string[];
  tc: string[];
  nft: string[];
  /** Interfaces on which offloads are switched off. */
  plainInterfaces: string[];
}

/** One host's end of one link, and where its router's end is. */
export interface PortPlan {
  link: LabLinkName;
  router: string;
  routerInterface: string;
  address: string;
  rate: LinkSpec;
}

export interface HostPlan {
  name: string;
  role: LabHost['role'];
  isp?: string;
  network?: string;
  viaStone?: string;
  offers?: NonNullable<LabHost['offers']>;
  ports: PortPlan[];
}

/** A long wire: two interfaces in the namespace `wire` that delayd joins. */
export interface WirePlan {
  left: string;
  right: string;
  delayUs: number;
}

export interface LabPlan {
  /** Input for one `ip -batch`: all namespaces and all links. */
  links: string[];
  netns: Map<string, NetnsPlan>;
  wires: WirePlan[];
  hosts: HostPlan[];
  roundTripMs: LabManifest['roundTripMs'];
}

export type DelayKind = LabManifest['delay'];

const routerSideAddress = '169.254.1.1';
/** The two ends of the link between the lab's own process and the admin host's sshd. */
export const consoleLink = { lab: '169.254.77.1', admin: '169.254.77.2', interface: 'console' } as const;
/** The block that RFC 2544 sets aside for test networks: the lab's public addresses. */
const publicBlock = '198.18';

/** A stone's global address after `turn` rotations; 100 addresses are used in turn. */
export function stoneAddress(ispIndex: number, stoneIndex: number, turn: number): string {
  return `${publicBlock}.${ispIndex + 1}.${100 + ((stoneIndex + 20 * turn) % 100)}`;
}

/**
 * Lays the lab out: pure, from the specification to the exact input of ip, tc and nft.
 *
 * A core router joins one router for each ISP and access network; delay sits on those uplinks. Every host
 * has /32 addresses on its links and its router answers as 169.254.1.1. Both directions of a link are
 * shaped (HTB with a pfifo queue); the queue that a flood fills is the router's. An ISP's border passes no
 * 10/8 address either way, every router drops forged sources, and nothing new reaches a stone's global
 * address.
 */
export function planLab(spec: LabSpec, delay: DelayKind): LabPlan {
  const plan: LabPlan = { links: [], netns: new Map(), wires: [], hosts: [], roundTripMs: {} };
  addNetns(plan, 'core', true);
  if (delay === 'delayd') addNetns(plan, 'wire', false);

  for (const [i, isp] of spec.isps.entries()) {
    const block = `${publicBlock}.${i + 1}`;
    const inside = `10.${i + 1}.0`;
    addRouter(plan, isp.name, i + 1, isp.oneWayDelayMs, delay);
    const stone = isp.stones[0]?.name;
    for (const [k, site] of isp.sites.entries()) {
      const ports: PortPlan[] = [
        port('primary', isp.name, site.name, 'p', `${block}.${11 + k}`, site.primary ?? spec.links.primary),
        port(
          'secondary',
          isp.name,
          site.name,
          's',
          `${inside}.${11 + k}`,
          site.secondary ?? spec.links.secondary,
        ),
      ];
      addHost(
        plan,
        {
          name: site.name,
          role: 'site',
          isp: isp.name,
          ...(stone ? { viaStone: stone } : {}),
          ...(site.offers ? { offers: site.offers } : {}),
          ports,
        },
        i + 1,
      );
    }
    for (const [k, { name }] of isp.stones.entries()) {
      const ports: PortPlan[] = [
        port('global', isp.name, name, 'g', stoneAddress(i, k, 0), spec.links.stone),
        port('internal', isp.name, name, 'i', `${inside}.${200 + k}`, spec.links.stone),
      ];
      addHost(plan, { name, role: 'stone', isp: isp.name, ports }, i + 1);
    }
  }
  for (const [i, network] of spec.networks.entries()) {
    const number = 100 + i;
    addRouter(plan, network.name, number, network.oneWayDelayMs, delay);
    for (const [k, name] of network.hosts.entries()) {
      const ports = [
        port('global', network.name, name, 'g', `${publicBlock}.${number}.${1 + k}`, spec.links.access),
      ];
      addHost(plan, { name, role: network.role, network: network.name, ports }, number);
      if (network.role === 'admin') addConsoleLink(plan, name);
    }
  }
  const delays = [...spec.isps, ...spec.networks].map(({ name, oneWayDelayMs }) => ({ name, oneWayDelayMs }));
  for (const from of delays) {
    plan.roundTripMs[from.name] = Object.fromEntries(
      delays.map((to) => [to.name, from === to ? 0 : 2 * (from.oneWayDelayMs + to.oneWayDelayMs)]),
    );
  }
  return plan;
}

function addNetns(plan: LabPlan, name: string, router: boolean): NetnsPlan {
  const netns: NetnsPlan = { name, router, ip: ['link set lo up'], tc: [], nft: [], plainInterfaces: [] };
  plan.netns.set(name, netns);
  plan.links.push(`netns add ${name}`);
  return netns;
}

function netnsOf(plan: LabPlan, name: string): NetnsPlan {
  const netns = plan.netns.get(name);
  if (!netns) throw new Error(`no namespace ${name} in the plan`);
  return netns;
}

function addLink(plan: LabPlan, a: string, interfaceA: string, b: string, interfaceB: string): void {
  plan.links.push(`link add name ${interfaceA} netns ${a} type veth peer name ${interfaceB} netns ${b}`);
  netnsOf(plan, a).ip.push(`link set dev ${interfaceA} up`);
  netnsOf(plan, b).ip.push(`link set dev ${interfaceB} up`);
}

function addRouter(plan: LabPlan, name: string, number: number, delayMs: number, delay: DelayKind): void {
  const router = addNetns(plan, name, true);
  const core = netnsOf(plan, 'core');
  const delayUs = Math.round(delayMs * 1000);
  if (delayUs > 0 && delay === 'delayd') {
    const left = `l${plan.wires.length}`;
    const right = `r${plan.wires.length}`;
    plan.wires.push({ left, right, delayUs });
    addLink(plan, 'core', name, 'wire', left);
    addLink(plan, 'wire', right, name, 'core');
  } else {
    addLink(plan, 'core', name, name, 'core');
    if (delayUs > 0) {
      core.tc.push(`qdisc add dev ${name} root netem delay ${delayUs}us limit 100000`);
      router.tc.push(`qdisc add dev core root netem delay ${delayUs}us limit 100000`);
    }
  }
  const near = `169.254.9.${number}`;
  core.ip.push(
    `addr add 169.254.0.1/32 dev ${name}`,
    `route add ${near} dev ${name} scope link`,
    `route add ${publicBlock}.${number}.0/24 via ${near} dev ${name}`,
  );
  router.ip.push(
    `addr add ${near}/32 dev core`,
    'route add 169.254.0.1 dev core scope link',
    'route add default via 169.254.0.1 dev core',
    // An address that nobody has is silence, not a loop between this router and the core.
    `route add blackhole ${publicBlock}.${number}.0/24`,
  );
  router.nft.push(routerRules);
}

// connections are tracked only where a stone is one end: a flood must not cost the router a table entry each
const routerRules = `table inet lab {
  set bound { type ifname . ipv4_addr; }
  set stones { type ipv4_addr; }
  set cut { type ifname; }
  counter internal_at_border {}
  counter forged_source {}
  counter new_to_stone {}
  counter cut_link {}
  chain early {
    type filter hook prerouting priority raw; policy accept;
    ip daddr != @stones ip saddr != @stones notrack
  }
  chain forward {
    type filter hook forward priority filter; policy accept;
    iifname @cut counter name cut_link drop
    oifname @cut counter name cut_link drop
    iifname "core" ip daddr 10.0.0.0/8 counter name internal_at_border drop
    iifname "core" ip saddr 10.0.0.0/8 counter name internal_at_border drop
    oifname "core" ip daddr 10.0.0.0/8 counter name internal_at_border drop
    oifname "core" ip saddr 10.0.0.0/8 counter name internal_at_border drop
    iifname != "core" iifname . ip saddr != @bound counter name forged_source drop
    ip daddr @stones ct state new counter name new_to_stone drop
    ip daddr @stones ct state invalid counter name new_to_stone drop
  }
}`;

function port(
  link: LabLinkName,
  router: string,
  host: string,
  suffix: string,
  address: string,
  rate: LinkSpec,
): PortPlan {
  return { link, router, routerInterface: `${host}.${suffix}`, address, rate };
}

function addHost(plan: LabPlan, host: HostPlan, networkNumber: number): void {
  plan.hosts.push(host);
  const netns = addNetns(plan, host.name, false);
  for (const { link, router, routerInterface, address, rate } of host.ports) {
    const routing = netnsOf(plan, router);
    addLink(plan, router, routerInterface, host.name, link);
    routing.ip.push(
      `addr add ${routerSideAddress}/32 dev ${routerInterface}`,
      `route add ${address}/32 dev ${routerInterface}`,
    );
    routing.tc.push(...shape(routerInterface, rate));
    routing.nft.push(`add element inet lab bound { "${routerInterface}" . ${address} }`);
    if (host.role === 'stone' && link === 'global')
      routing.nft.push(`add element inet lab stones { ${address} }`);
    netns.ip.push(...hostAddress(link, address, networkNumber));
    netns.tc.push(...shape(link, rate));
    netns.plainInterfaces.push(link);
  }
}

function hostAddress(link: LabLinkName, address: string, networkNumber: number): string[] {
  const inside = link === 'secondary' || link === 'internal';
  const destination = inside ? `10.${networkNumber}.0.0/16` : 'default';
  return [
    `addr add ${address}/32 dev ${link}`,
    `route add ${destination} via ${routerSideAddress} dev ${link} onlink src ${address}`,
  ];
}

function addConsoleLink(plan: LabPlan, admin: string): void {
  plan.links.push(
    `link add name ${consoleLink.interface} type veth peer name ${consoleLink.interface} netns ${admin}`,
  );
  netnsOf(plan, admin).ip.push(
    `addr add ${consoleLink.admin}/30 dev ${consoleLink.interface}`,
    `link set dev ${consoleLink.interface} up`,
  );
}

/** A queue of full-size packets in front of a rate: with a queue of bytes small floods would not hurt. */
function shape(device: string, { rateMbit, queueMs }: LinkSpec): string[] {
  const packets = Math.max(10, Math.round((rateMbit * 1e6 * (queueMs / 1000)) / 8 / 1514));
  return [
    `qdisc add dev ${device} root handle 1: htb default 1`,
    `class add dev ${device} parent 1: classid 1:1 htb rate ${rateMbit}mbit ceil ${rateMbit}mbit burst 3k cburst 3k quantum 1514`,
    `qdisc add dev ${device} parent 1:1 handle 10: pfifo limit ${packets}`,
  ];
}
