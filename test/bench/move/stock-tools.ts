import { readFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { MoveError } from '../../../core/runtime/errors.ts';
import type { World } from '../../system/world.ts';

/** A service as stock tools run and move it. */
export interface StockService {
  image: 'apache' | 'samples';
  command: readonly string[];
  /** The port inside its container. */
  port: number;
  /** What a client asks, and how a right answer begins. */
  ask: string;
  answer: string;
}

export const stockApache: StockService = {
  image: 'apache',
  command: [
    '/bin/sh',
    '-c',
    '. /etc/apache2/envvars && mkdir -p /run/apache2 /run/lock/apache2 && exec apache2 -DFOREGROUND',
  ],
  port: 80,
  ask: 'GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n',
  answer: 'HTTP/1.1 200',
};

export const stockDesktop: StockService = {
  image: 'samples',
  command: ['/opt/samples/desktop'],
  port: 5900,
  ask: '',
  answer: 'RFB 003.',
};

export interface StockMove {
  outageMs: number;
  wireBytes: number;
  /** Of the connections that were open before the move, how many answered after it. */
  connectionsKept: number;
  connectionsOpen: number;
}

/** Beside the product's own address on a site; anybody may come there. */
const publicPort = 8088;
const sshPort = 2222;
const connectionsOpen = 10;
const base = '/run/stock';
const image = `${base}/image`;
const scriptLimitMs = 60_000;
const quote = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;

/**
 * Moves of one service by what any administrator has: `runc checkpoint`, `tar | zstd -1` over an ssh connection that is
 * open already and leads through the stepping stone, piped into `runc restore`. Everything that can be done ahead is:
 * network, connection and root's lower layer are there, criu has run on both sites. Clients know both addresses and ask
 * both, so that no announcement is waited for.
 */
export class StockTools {
  readonly #world: World;
  readonly #service: StockService;
  readonly #from: string;
  readonly #to: string;
  readonly #stone: string;

  private constructor(world: World, service: StockService, from: string, to: string) {
    this.#world = world;
    this.#service = service;
    this.#from = from;
    this.#to = to;
    this.#stone = world.manifest.hosts[from]?.viaStone ?? '';
  }

  /** Prepares both sites. @throws MoveError `STOCK_FAILED` with what a program said. */
  static async prepare(world: World, service: StockService, from: string, to: string): Promise<StockTools> {
    const tools = new StockTools(world, service, from, to);
    for (const site of [from, to]) await tools.#sh(site, tools.#siteScript(site));
    await tools.#openSsh();
    return tools;
  }

  /** Starts the service anew at its source, moves it once, and takes everything away again. */
  async move(): Promise<StockMove> {
    await this.#sh(
      this.#from,
      `set -e\n${mountRoot(this.#service)}\n${furnish}\ncd ${base}\nrunc run -d --bundle ${base} stock </dev/null >${base}/out 2>&1`,
    );
    const client = await this.#startClient();
    const nextLine = async () => {
      const { value, done } = await client.lines.next();
      if (done) throw new MoveError('STOCK_FAILED', 'The client of the stock tools ended.');
      return JSON.parse(value) as { ready?: true; answeredAt?: number; kept?: number };
    };
    try {
      await nextLine();
      const said = await this.#sh(this.#from, this.#moveScript());
      const { answeredAt = 0, kept = 0 } = await nextLine();
      const [, startedAt, bytes] = /^began (\d+)\nwire (\d+)$/m.exec(said) ?? [];
      if (startedAt === undefined) throw new MoveError('STOCK_FAILED', `The move said ${said}`);
      return {
        outageMs: Math.round(answeredAt - Number(startedAt)),
        wireBytes: Number(bytes),
        connectionsKept: kept,
        connectionsOpen,
      };
    } finally {
      client.kill();
      for (const site of [this.#from, this.#to]) await this.#sh(site, clear);
    }
  }

  async remove(): Promise<void> {
    await this.#sh(this.#from, `ssh -F ${base}/ssh_config -O exit target 2>/dev/null || true`);
    for (const site of [this.#from, this.#to])
      await this.#sh(
        site,
        `${clear}\nip netns del stock; nft delete table ip stock; [ ! -f ${base}/sshd.pid ] || kill "$(cat ${base}/sshd.pid)"; umount /sys/fs/cgroup/devices; rm -rf ${base} /var/lib/move/stock; true`,
      );
  }

  #siteScript(site: string): string {
    const address = this.#world.address(site, 'primary');
    const criu = '/opt/move/criu/usr';
    return `set -e
mkdir -p ${base}/root /var/lib/move/stock /sys/fs/cgroup/devices
mount -t cgroup -o devices cgroup /sys/fs/cgroup/devices
cat > ${base}/criu <<'END'
#!/bin/sh
exec ${criu}/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 --library-path ${criu}/lib/x86_64-linux-gnu --preload /opt/move/lib/norlimit-shim.so ${criu}/sbin/criu "$@"
END
chmod 755 ${base}/criu
ip netns add stock
ip link add stock0 type veth peer name eth0 netns stock
ip addr add 100.127.0.1/30 dev stock0
ip link set stock0 up
ip netns exec stock ip link set lo up
ip netns exec stock ip addr add 100.127.0.2/30 dev eth0
ip netns exec stock ip link set eth0 up
ip netns exec stock ip route add default via 100.127.0.1
echo 1 > /proc/sys/net/ipv4/ip_forward
nft 'table ip stock { chain arriving { type nat hook prerouting priority -100; ip daddr ${address} tcp dport ${publicPort} dnat to 100.127.0.2:${this.#service.port}; }; }'
cd ${base}
runc spec
cat > config.mjs <<'END'
${bundleProgram(this.#service, `${this.#world.manifest.labId}-${site}`)}
END
/opt/move/bin/node config.mjs
${base}/criu check >/dev/null 2>&1 || true
`;
  }

  async #openSsh(): Promise<void> {
    const { hosts } = this.#world;
    const key = (
      await this.#sh(
        this.#from,
        `mkdir -p ${base}; [ -f ${base}/key ] || ssh-keygen -q -t ed25519 -N '' -f ${base}/key; cat ${base}/key.pub`,
      )
    ).trim();
    await this.#sh(
      this.#stone,
      `mkdir -p -m 700 /root/.ssh; echo ${quote(key)} >> /root/.ssh/authorized_keys`,
    );
    const target = this.#world.address(this.#to, 'primary');
    await this.#sh(
      this.#to,
      `set -e; echo ${quote(key)} > ${base}/authorized; [ -f ${base}/host_key ] || ssh-keygen -q -t ed25519 -N '' -f ${base}/host_key
/usr/sbin/sshd -f /dev/null -o Port=${sshPort} -o ListenAddress=${target} -o HostKey=${base}/host_key -o AuthorizedKeysFile=${base}/authorized -o StrictModes=no -o UsePAM=no -o UseDNS=no -o PidFile=${base}/sshd.pid`,
    );
    await hosts.write(
      this.#from,
      `${base}/ssh_config`,
      `Host *
  User root
  IdentityFile ${base}/key
  StrictHostKeyChecking no
  UserKnownHostsFile /dev/null
  LogLevel ERROR
  Ciphers aes128-gcm@openssh.com
Host stone
  HostName ${this.#world.address(this.#stone, 'internal')}
Host target
  HostName ${target}
  Port ${sshPort}
  ProxyCommand ssh -F ${base}/ssh_config -W %h:%p stone
  ControlPath ${base}/control
  ControlPersist yes
`,
    );
    await this.#sh(this.#from, `ssh -F ${base}/ssh_config -f -N -M target </dev/null >/dev/null 2>&1`);
  }

  #moveScript(): string {
    const restore = [
      `set -e; mkdir -p ${image} /var/lib/move/stock/upper`,
      `zstd -dc | tar -C / --xattrs --xattrs-include='*' -xpf -`,
      mountRoot(this.#service),
      `runc --criu ${base}/criu restore -d --bundle ${base} --image-path ${image} --work-path ${base}/criu-work --tcp-established --file-locks stock </dev/null >${base}/out 2>&1 || { { cat ${base}/out; grep Error ${base}/criu-work/restore.log; } >&2; exit 1; }`,
    ].join('\n');
    return `set -e
mkdir -p ${image} ${base}/criu-work
began=$(date +%s%3N)
ip netns exec stock nft 'table inet stop { chain i { type filter hook input priority -400; iif != "lo" drop; }; chain o { type filter hook output priority 400; oif != "lo" drop; }; }'
runc pause stock
runc --criu ${base}/criu checkpoint --image-path ${image} --work-path ${base}/criu-work --leave-running --tcp-established --file-locks stock >${base}/out 2>&1 || { { cat ${base}/out; grep Error ${base}/criu-work/dump.log; } >&2; exit 1; }
tar -C / --xattrs --xattrs-include='*' -cf - ${image.slice(1)} var/lib/move/stock/upper | zstd -1 | tee ${base}/sent | ssh -F ${base}/ssh_config target ${quote(restore)}
echo "began $began"
echo "wire $(stat -c %s ${base}/sent)"
`;
  }

  async #startClient() {
    const file = '/tmp/stock-client.ts';
    const { hosts } = this.#world;
    await hosts.write('client-1', file, readFileSync(path.join(import.meta.dirname, 'stock-client.ts')));
    const program = await hosts.start('client-1', `exec /opt/move/bin/node ${file}`);
    program.stdin.write(
      `${JSON.stringify({
        from: this.#world.address(this.#from, 'primary'),
        to: this.#world.address(this.#to, 'primary'),
        port: publicPort,
        ask: this.#service.ask,
        answer: this.#service.answer,
        connections: connectionsOpen,
      })}\n`,
    );
    return {
      lines: createInterface({ input: program.stdout })[Symbol.asyncIterator](),
      kill: () => program.kill(),
    };
  }

  async #sh(host: string, script: string): Promise<string> {
    const said = await this.#world.hosts.run(host, script, { limitMs: scriptLimitMs });
    if (said.code === 0) return said.stdout;
    throw new MoveError('STOCK_FAILED', `On ${host} a stock tool failed: ${said.stderr.slice(-800)}`);
  }
}

const mountRoot = ({ image: lower }: StockService) =>
  `mkdir -p /var/lib/move/stock/upper /var/lib/move/stock/work ${base}/root; mount -t overlay overlay -o lowerdir=/opt/move/images/${lower},upperdir=/var/lib/move/stock/upper,workdir=/var/lib/move/stock/work,index=off,xino=off,redirect_dir=off,metacopy=off ${base}/root`;

const furnish = `mkdir -p ${base}/root/root ${base}/root/var/log; echo '127.0.0.1 localhost stock' > ${base}/root/etc/hosts; rm -f ${base}/root/etc/resolv.conf; : > ${base}/root/etc/resolv.conf`;

const clear = `ip netns exec stock nft delete table inet stop 2>/dev/null
runc kill --all stock KILL 2>/dev/null; runc resume stock 2>/dev/null
for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do runc delete -f stock 2>/dev/null; runc state stock >/dev/null 2>&1 || break; sleep 0.1; done
umount -l ${base}/root 2>/dev/null
rm -rf ${image} ${base}/criu-work ${base}/sent /var/lib/move/stock/upper /var/lib/move/stock/work
true`;

/** The bundle of a pod as runc runs it: the same root, network and rights as ours. */
function bundleProgram(service: StockService, site: string): string {
  const allowed = ['CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'SETUID', 'SETGID', 'NET_BIND_SERVICE', 'KILL'].map(
    (name) => `CAP_${name}`,
  );
  const wrapped = `exec </dev/null >>/var/log/stock.log 2>&1; exec "$@"`;
  return `import { readFileSync, writeFileSync } from 'node:fs';
const c = JSON.parse(readFileSync('config.json', 'utf8'));
c.root = { path: '${base}/root', readonly: false };
Object.assign(c.process, { terminal: false, cwd: '/', args: ${JSON.stringify(['/bin/sh', '-c', wrapped, 'sh', ...service.command])} });
c.process.env = ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'];
const caps = ${JSON.stringify(allowed)};
c.process.capabilities = { bounding: caps, effective: caps, permitted: caps };
delete c.process.rlimits; delete c.process.noNewPrivileges;
c.mounts = c.mounts.filter(({ destination }) => !['/dev/mqueue', '/sys/fs/cgroup', '/sys'].includes(destination));
c.linux.namespaces.find(({ type }) => type === 'network').path = '/run/netns/stock';
c.linux.cgroupsPath = '/stock-${site}';
c.annotations = { 'org.criu.config': '${base}/criu.conf' };
writeFileSync('${base}/criu.conf', 'network-lock skip\\nskip-in-flight\\nlink-remap\\nghost-limit 64M\\n');
delete c.linux.maskedPaths; delete c.linux.readonlyPaths; delete c.linux.resources;
writeFileSync('config.json', JSON.stringify(c));`;
}
