import { contract } from '../../contract/contract.ts';
import type { Command } from '../command.ts';
import { checkInput, contractCommand } from '../contract-command.ts';
import { withControl } from '../control-link.ts';
import { passwordFileOption, readPassword } from '../secret-input.ts';
import { UsageError } from '../usage-error.ts';

const add: Command = {
  path: ['admission', 'add'],
  summary: contract['admission.addPerson'].docs,
  positionals: [{ name: 'NAME', docs: 'the person' }],
  options: {
    service: {
      type: 'text',
      repeatable: true,
      required: true,
      docs: 'A service that the person may reach.',
    },
    ...passwordFileOption,
  },
  output: () => contract['admission.addPerson'].output,
  async run(context, parsed) {
    const name = parsed.positionals[0] ?? '';
    const password = await readPassword(context, parsed, `Password for ${name}: `);
    if (password === null)
      throw new UsageError('A password is needed: --password-file FILE or MOVE_PASSWORD, or type it.');
    const input = checkInput('admission.addPerson', { name, password, services: parsed.list('service') });
    return withControl(context, async (link) => {
      context.print(await link.call('admission.addPerson', input));
      return 0;
    });
  },
};

export const admissionCommands: readonly Command[] = [
  contractCommand({ path: ['admission', 'show'], method: 'admission.show' }),
  contractCommand({ path: ['admission', 'set'], method: 'admission.set' }),
  contractCommand({ path: ['admission', 'visitors'], method: 'admission.visitors' }),
  contractCommand({
    path: ['admission', 'revoke'],
    method: 'admission.revoke',
    positionals: ['serial'],
  }),
  add,
  contractCommand({
    path: ['admission', 'remove'],
    method: 'admission.removePerson',
    positionals: ['name'],
  }),
];
