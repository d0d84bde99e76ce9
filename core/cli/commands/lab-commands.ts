import { z } from 'zod';
import type { Command } from '../command.ts';
import type { CliRooms } from '../rooms.ts';

const statusSchema = async (rooms: CliRooms) => (await rooms.lab()).statusSchema;

export const labCommands: readonly Command[] = [
  {
    path: ['lab', 'up'],
    summary: 'Brings up the lab, a miniature internet on this machine, and prints its status.',
    options: {
      spec: { type: 'text', value: 'FILE', docs: "The lab's specification. Default: the built-in one." },
    },
    output: statusSchema,
    async run(context, parsed) {
      const lab = await context.rooms.lab();
      const spec = parsed.text('spec');
      context.print(
        await lab.start({
          home: context.home,
          signal: context.signal,
          ...(spec === undefined ? {} : { spec }),
        }),
      );
      return 0;
    },
  },
  {
    path: ['lab', 'down'],
    summary: 'Takes the lab down; nothing of it is left behind.',
    output: () => z.object({ running: z.literal(false) }),
    async run(context) {
      const lab = await context.rooms.lab();
      await lab.stop({ home: context.home });
      context.print({ running: false });
      return 0;
    },
  },
  {
    path: ['lab', 'status'],
    summary: 'Prints whether the lab is up, and its hosts.',
    output: statusSchema,
    async run(context) {
      const lab = await context.rooms.lab();
      context.print(await lab.status(context.home));
      return 0;
    },
  },
  {
    path: ['lab', 'exec'],
    summary: "Runs a command on a host of the lab. Its streams and its exit code are this command's.",
    positionals: [{ name: 'HOST', docs: 'the host, for example client-1' }],
    rest: { name: 'COMMAND', docs: 'the command and its arguments' },
    async run(context, parsed) {
      const lab = await context.rooms.lab();
      return lab.exec({
        home: context.home,
        host: parsed.at(0),
        command: parsed.rest,
        signal: context.signal,
      });
    },
  },
];
