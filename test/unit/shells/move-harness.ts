import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { z } from 'zod';
import type { CommandContext } from '../../../core/cli/command-context.ts';
import { allCommands } from '../../../core/cli/commands/all-commands.ts';
import type { CliRooms, LabRoom } from '../../../core/cli/rooms.ts';
import { runMove } from '../../../core/cli/run.ts';
import type { Handlers } from '../../../core/contract/channel.ts';
import type { Contract } from '../../../core/contract/contract.ts';
import type { ConsoleState } from '../../../core/contract/state.ts';
import type { Caller } from '../../../core/control/caller.ts';
import { lockHome } from '../../../core/control/home-lock.ts';
import { openLocalDoor } from '../../../core/control/local-door.ts';
import { MoveError } from '../../../core/runtime/errors.ts';
import { type SmallControl, smallControl } from './small-control.ts';

export interface Ran {
  code: number;
  printed: unknown[];
  said: string[];
  /** The error of the one JSON line on stderr, if any. */
  error: { code: string; message: string; details: Record<string, unknown> } | undefined;
}

const absent = (what: string) => async () => {
  throw new MoveError('NOT_HERE', `${what} is not part of this test.`);
};

/** Runs `move` in this process on a home of its own, with the rooms that a test gives it. */
export class MoveHarness {
  readonly home = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'move-cli-')), 'home');
  readonly labCalls: string[] = [];
  labRunning = false;
  secret: string | null = null;
  environment: NodeJS.ProcessEnv = {};
  rooms: Partial<CliRooms> = {};
  stop = new AbortController();
  onPrint: (value: unknown) => void = () => undefined;
  onSay: (line: string) => void = () => undefined;
  private readonly cleanUps: (() => Promise<void> | void)[] = [];

  readonly lab: LabRoom = {
    start: async ({ spec }) => {
      this.labCalls.push(`start ${spec ?? ''}`.trim());
      this.labRunning = true;
      return { running: true };
    },
    stop: async () => {
      this.labCalls.push('stop');
      this.labRunning = false;
    },
    status: async () => ({ running: this.labRunning }),
    exec: async ({ host, command }) => {
      this.labCalls.push(`exec ${host} ${JSON.stringify(command)}`);
      return 7;
    },
    statusSchema: z.object({ running: z.boolean() }),
  };

  async control(
    answers: Partial<Handlers<Contract, Caller>> = {},
    state?: ConsoleState,
  ): Promise<SmallControl> {
    const control = smallControl(answers, state);
    const lock = lockHome(this.home);
    const door = await openLocalDoor({ lock, handlers: control.handlers, log: () => undefined });
    this.cleanUps.push(async () => {
      await door.close();
      lock.release();
    });
    return control;
  }

  async run(...args: string[]): Promise<Ran> {
    const printed: unknown[] = [];
    const said: string[] = [];
    const context: Omit<CommandContext, 'home' | 'mayStart'> = {
      print: (value) => {
        printed.push(JSON.parse(JSON.stringify(value)));
        this.onPrint(value);
      },
      say: (line) => {
        said.push(line);
        this.onSay(line);
      },
      askSecret: async () => this.secret,
      environment: { MOVE_HOME: this.home, ...this.environment },
      signal: this.stop.signal,
      self: [process.execPath, '-e', 'process.exit(1)'],
      rooms: {
        startControl: absent('The control plane'),
        lab: async () => this.lab,
        startForwarder: absent('The forwarder'),
        doctor: absent('The doctor'),
        drillReportSchema: async () => z.object({ verdict: z.boolean() }),
        ...this.rooms,
      },
    };
    const code = await runMove(allCommands, args, context);
    const last = said.findLast((line) => line.startsWith('{"error":'));
    return { code, printed, said, error: last ? JSON.parse(last).error : undefined };
  }

  async clean(): Promise<void> {
    for (const cleanUp of this.cleanUps.splice(0)) await cleanUp();
    fs.rmSync(path.dirname(this.home), { recursive: true, force: true });
  }
}
