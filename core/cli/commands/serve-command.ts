import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import { serveContract } from '../../contract/channel.ts';
import { contract } from '../../contract/contract.ts';
import { type BrowserHost, startBrowserHost } from '../../control/browser-host/browser-host.ts';
import { homeLockHolder, lockHome } from '../../control/home-lock.ts';
import { describeFault, type LocalDoor, openLocalDoor } from '../../control/local-door.ts';
import { MoveError } from '../../runtime/errors.ts';
import type { Command } from '../command.ts';
import type { CommandContext } from '../command-context.ts';
import { rendererDirectory } from '../product-root.ts';
import type { RunningControl } from '../rooms.ts';
import { errorBodyOf } from '../run.ts';

/** Milliseconds that an orderly stop of the control plane may take. */
const stopDeadlineMs = 20_000;

/** `move serve`: the control plane, in the foreground until interrupted. */
export const serveCommand: Command = {
  path: ['serve'],
  summary: 'Runs the control plane in the foreground. Prints one ready line.',
  options: {
    'browser-port': {
      type: 'number',
      docs: 'Serve the window to browsers on this loopback port too; 0 takes a free one.',
    },
    stop: { type: 'flag', docs: 'Stop the control plane that runs in this home instead.' },
  },
  output: () =>
    z.object({
      ready: z.literal(true),
      socket: z.string(),
      address: z.string().optional().describe('lets one browser in, once, within a minute'),
    }),
  async run(context, parsed) {
    if (parsed.flag('stop')) return stopRunning(context);
    const browserPort = parsed.number('browser-port');
    const lock = lockHome(context.home);
    let control: RunningControl | undefined;
    let door: LocalDoor | undefined;
    let browser: BrowserHost | undefined;
    try {
      control = await context.rooms.startControl({ home: context.home, log: context.say });
      const { handlers } = control;
      if (browserPort !== undefined)
        browser = await startBrowserHost({
          directory: rendererDirectory(),
          port: browserPort,
          log: context.say,
          accept: (port) =>
            serveContract(contract, handlers, { kind: 'window' }, port, describeFault(context.say)),
        });
      door = await openLocalDoor({ lock, handlers, log: context.say });
      const stopped = new Promise<'stopped'>((resolve) => {
        if (context.signal.aborted) resolve('stopped');
        else context.signal.addEventListener('abort', () => resolve('stopped'), { once: true });
      });
      if ((await Promise.race([attached(context, control), stopped])) !== 'stopped') {
        context.print({
          ready: true,
          socket: door.socketPath,
          ...(browser ? { address: browser.issueAddress() } : {}),
        });
        await stopped;
      }
    } finally {
      await browser?.close();
      await door?.close();
      await stopInTime(control);
      lock.release();
    }
    return 0;
  },
};

/** Waits for the hosts where there is a lab to attach to; a fleet that fails leaves a degraded control plane. */
async function attached(context: CommandContext, control: RunningControl): Promise<void> {
  const lab = await context.rooms.lab();
  if (!(await lab.status(context.home)).running) {
    context.say('No lab is up; the control plane attaches to it when it comes.');
    return;
  }
  await control.ready.catch((thrown: unknown) => context.say(JSON.stringify({ error: errorBodyOf(thrown) })));
}

async function stopInTime(control: RunningControl | undefined): Promise<void> {
  if (!control) return;
  const limit = new AbortController();
  try {
    await Promise.race([
      control.stop(),
      pause(stopDeadlineMs, undefined, { signal: limit.signal }).then(() => {
        throw new MoveError(
          'STOP_TIMED_OUT',
          `The control plane did not stop within ${stopDeadlineMs} ms and was ended. Its journal is whole; the next start asks the agents how they stand.`,
        );
      }),
    ]);
  } finally {
    limit.abort();
  }
}

async function stopRunning(context: CommandContext): Promise<number> {
  const holder = homeLockHolder(context.home);
  if (holder !== null) {
    process.kill(holder, 'SIGTERM');
    const deadline = performance.now() + stopDeadlineMs + 5000;
    while (homeLockHolderNow(context.home)) {
      if (performance.now() > deadline)
        throw new MoveError(
          'STOP_TIMED_OUT',
          `The control plane (process ${holder}) did not stop in time. See control.log.`,
          { process: holder },
        );
      await pause(50);
    }
  } else context.say(`No control plane runs in ${context.home}.`);
  context.print({ stopped: holder !== null });
  return 0;
}

/** Whether anybody holds the lock, a holder that is just leaving included. */
function homeLockHolderNow(home: string): boolean {
  try {
    return homeLockHolder(home) !== null;
  } catch (thrown) {
    if (thrown instanceof MoveError && thrown.code === 'CONTROL_STARTING') return true;
    throw thrown;
  }
}
