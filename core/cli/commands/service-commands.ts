import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { contract } from '../../contract/contract.ts';
import { serviceSchema } from '../../contract/domain.ts';
import { MoveError } from '../../runtime/errors.ts';
import type { Command } from '../command.ts';
import { contractCommand } from '../contract-command.ts';
import { withControl } from '../control-link.ts';
import { ensurePodImage } from '../pod-image.ts';
import { fullServiceName } from '../service-name.ts';

const list: Command = {
  path: ['service', 'list'],
  summary: 'Lists the services: where each lives, its state, its policy.',
  output: () => z.object({ services: z.array(serviceSchema) }),
  async run(context) {
    return withControl(context, async (link) => {
      const { state } = await link.snapshot();
      context.print({ services: Object.values(state.services).sort((a, b) => a.id.localeCompare(b.id)) });
      return 0;
    });
  },
};

const add: Command = {
  path: ['service', 'add'],
  summary: `${contract['service.add'].docs} Builds the image of its pod where that is missing.`,
  positionals: [{ name: 'FILE', docs: 'the service file, as those in assets/services' }],
  output: () => contract['service.add'].output,
  async run(context, parsed) {
    const file = parsed.at(0);
    const text = await readFile(file, 'utf8').catch((cause) => {
      throw new MoveError(
        'SERVICE_FILE_UNREADABLE',
        `The service file ${file} cannot be read: ${cause instanceof Error ? cause.message : cause}.`,
        { file },
        cause,
      );
    });
    const input = { text, source: path.basename(file) };
    return withControl(context, async (link) => {
      await link.ready();
      const checked = await link.call('service.check', input);
      await ensurePodImage(context, checked.file.image);
      context.say(`Starting ${checked.file.hostname} at ${checked.file.homeSite}.`);
      context.print(await link.call('service.add', input));
      return 0;
    });
  },
};

export const serviceCommands: readonly Command[] = [
  list,
  add,
  contractCommand({
    path: ['service', 'remove'],
    method: 'service.remove',
    positionals: ['service'],
    refine: async (input, link) => ({ ...input, service: await fullServiceName(link, input.service) }),
  }),
  contractCommand({
    path: ['preflight'],
    method: 'service.preflight',
    positionals: ['service'],
    refine: async (input, link) => ({ ...input, service: await fullServiceName(link, input.service) }),
    exitCode: ({ preflight }) => (preflight.verdict === 'moves' ? 0 : 1),
  }),
  contractCommand({
    path: ['service', 'policy'],
    method: 'service.policy',
    positionals: ['service', 'policy'],
    refine: async (input, link) => ({ ...input, service: await fullServiceName(link, input.service) }),
  }),
  contractCommand({
    path: ['service', 'path'],
    method: 'service.path',
    positionals: ['service'],
    refine: async (input, link) => ({ ...input, service: await fullServiceName(link, input.service) }),
  }),
  contractCommand({
    path: ['service', 'paths'],
    method: 'service.paths',
    positionals: ['service'],
    refine: async (input, link) => ({ ...input, service: await fullServiceName(link, input.service) }),
  }),
];
