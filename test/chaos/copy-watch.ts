import { createInterface } from 'node:readline';
import type { RemoteProgram } from '../../core/fleet/host-connection.ts';
import type { World } from '../system/world.ts';

const againMs = 500;

/**
 * A program for a site: tells, whenever it changes, whether the kernel runs a copy of the service there: a process of the
 * pod that is neither frozen nor dead nor about to die, in a network that is not fenced. Looks every 20 ms.
 */
const look = (pod: string) => `exec perl -e '
$| = 1; my $last = ""; my $group = "/sys/fs/cgroup/freezer/pod-${pod}";
sub text { open(my $f, "<", shift) or return ""; local $/; my $t = <$f>; defined $t ? $t : "" }
while (1) {
  my $now = "none";
  if (text("$group/freezer.state") =~ /THAWED/) {
    for my $pid (split /\\n/, text("$group/cgroup.procs")) {
      my $status = text("/proc/$pid/status");
      next if $status eq "" or $status =~ /^State:\\s+[ZX]/m;
      next if $status =~ /^ShdPnd:\\s*([0-9a-f]+)/m and hex($1) & 256;
      $now = "running"; last;
    }
  }
  if ($now eq "running" and $last ne "running") {
    my $gate = \`nsenter --net=/run/move/pods/${pod}/net nft list chain inet move_pod gate 2>/dev/null\`;
    $now = "fenced" if $gate =~ /drop/;
  }
  if ($now ne $last) { print "$now\\n"; $last = $now }
  select undef, undef, undef, 0.02;
}'`;

/** Watches all sites for two copies of a service that run at the same time. */
export class CopyWatch {
  readonly #world: World;
  readonly #pod: string;
  readonly #state = new Map<string, string>();
  readonly #programs = new Map<string, RemoteProgram>();
  #stopped = false;
  /** Every time that two sites ran it at once. */
  readonly doubles: string[] = [];

  constructor(world: World, service: string) {
    this.#world = world;
    this.#pod = service.replaceAll('.', '-');
  }

  /** Begins to look on every site, and again on one whose power comes back. */
  start(): void {
    for (const { name, role } of Object.values(this.#world.manifest.hosts))
      if (role === 'site') void this.#watch(name);
  }

  /** Where a copy runs now. */
  running(): string[] {
    return [...this.#state].filter(([, state]) => state === 'running').map(([site]) => site);
  }

  stop(): void {
    this.#stopped = true;
    for (const program of this.#programs.values()) program.kill();
  }

  async #watch(site: string): Promise<void> {
    while (!this.#stopped) {
      try {
        const program = await this.#world.hosts.start(site, look(this.#pod));
        this.#programs.set(site, program);
        createInterface({ input: program.stdout }).on('line', (line) => this.#saw(site, line));
        await program.exited;
      } catch {
        // A site without power cannot be asked; it runs nothing then.
      }
      this.#state.delete(site);
      await new Promise((resolve) => setTimeout(resolve, againMs));
    }
  }

  #saw(site: string, state: string): void {
    this.#state.set(site, state);
    const running = this.running();
    if (running.length > 1) this.doubles.push(running.join(' and '));
  }
}
