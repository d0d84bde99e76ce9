import type { Random } from '../../core/runtime/random.ts';
import type { World } from '../system/world.ts';

/** What a fault is aimed at: the two ends of the move, and the stone that it goes through. */
export interface Aim {
  service: string;
  move: string;
  from: string;
  to: string;
  stone: string;
}

export interface Fault {
  name: string;
  /** Whether the memory of the machine that it hits is lost with it, and everything that only stood there. */
  losesMemory?: boolean;
  /** Lets it loose; the returned function ends it. */
  begin(world: World, aim: Aim): Promise<() => Promise<void>>;
}

const agentOf = "$(pgrep -f 'agent[.]mjs serve')";

/** A process of a host that gets a signal, and perhaps another one at the end. */
const signal = (name: string, host: (aim: Aim) => string, first: string, last?: string): Fault => ({
  name,
  async begin(world, aim) {
    await world.hosts.run(host(aim), `kill -${first} ${agentOf}`);
    return async () => {
      if (last) await world.hosts.run(host(aim), `kill -${last} ${agentOf}`);
    };
  },
});

const cut = (
  name: string,
  host: (aim: Aim) => string,
  link: 'primary' | 'secondary' | 'global' | 'internal',
): Fault => ({
  name,
  async begin(world, aim) {
    await world.setLink(host(aim), link, false);
    return () => world.setLink(host(aim), link, true);
  },
});

const power = (name: string, host: (aim: Aim) => string, losesMemory: boolean): Fault => ({
  name,
  losesMemory,
  async begin(world, aim) {
    await world.setPower(host(aim), false);
    return () => world.setPower(host(aim), true);
  },
});

/** No room where the state of a move is written. */
const full = (name: string, host: (aim: Aim) => string, directory: 'leaving' | 'arriving'): Fault => ({
  name,
  async begin(world, aim) {
    const path = `/run/move/${directory}`;
    const on = host(aim);
    await world.hosts.run(on, `mkdir -p ${path} && mount -t tmpfs -o size=64k full ${path}`);
    return async () => {
      await world.hosts.run(on, `umount -l ${path}`);
    };
  },
});

/** Cuts the largest file of the arriving state short the moment that it is there, before it is woken if it can. */
const truncated: Fault = {
  name: 'image-truncated',
  async begin(world, aim) {
    const state = `/run/move/arriving/${aim.move}/state`;
    const program = await world.hosts.start(
      aim.to,
      `for n in $(seq 2000); do file=$(ls -S ${state} 2>/dev/null | head -1); if [ -n "$file" ] && [ "$(stat -c %s ${state}/$file)" -gt 8192 ]; then truncate -s 4096 ${state}/$file; break; fi; sleep 0.002; done`,
    );
    program.stdin.end();
    // Its end is told when everything that it said has been read.
    program.stdout.resume();
    program.stderr.resume();
    return async () => {
      await program.exited;
    };
  },
};

const controllerKilled: Fault = {
  name: 'controller-killed',
  async begin(world) {
    await world.control.kill();
    return async () => {
      await world.respawnControl().ready();
    };
  },
};

const controllerStopped: Fault = {
  name: 'controller-stopped',
  async begin(world) {
    const { pid } = world.control;
    process.kill(pid, 'SIGSTOP');
    return async () => {
      process.kill(pid, 'SIGCONT');
    };
  },
};

/** The controller's clock says another time; all else of the machine keeps its own (libfaketime reads the offset from a file). */
const clockJumped = (seconds: number): Fault => ({
  name: seconds > 0 ? 'clock-ahead' : 'clock-back',
  async begin(world) {
    world.control.jumpClock(seconds);
    return async () => world.control.jumpClock(0);
  },
});

/** Everything that may happen to a move, from which each run draws one. */
export const faults: readonly Fault[] = [
  controllerKilled,
  controllerStopped,
  signal('source-agent-killed', (aim) => aim.from, 'KILL'),
  signal('target-agent-killed', (aim) => aim.to, 'KILL'),
  signal('stone-agent-killed', (aim) => aim.stone, 'KILL'),
  signal('source-agent-stopped', (aim) => aim.from, 'STOP', 'CONT'),
  signal('target-agent-stopped', (aim) => aim.to, 'STOP', 'CONT'),
  signal('stone-agent-stopped', (aim) => aim.stone, 'STOP', 'CONT'),
  power('source-off', (aim) => aim.from, true),
  power('target-off', (aim) => aim.to, true),
  power('stone-off', (aim) => aim.stone, false),
  cut('source-secondary-cut', (aim) => aim.from, 'secondary'),
  cut('target-primary-cut', (aim) => aim.to, 'primary'),
  cut('stone-cut', (aim) => aim.stone, 'global'),
  full('source-disk-full', (aim) => aim.from, 'leaving'),
  full('target-disk-full', (aim) => aim.to, 'arriving'),
  truncated,
  clockJumped(3_600),
  clockJumped(-3_600),
];

/** One of them, by chance. */
export const drawFault = (random: Random, among: readonly Fault[] = faults): Fault =>
  among[random.below(among.length)]!;
