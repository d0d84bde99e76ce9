import type { Command } from '../command.ts';
import { admissionCommands } from './admission-commands.ts';
import { connectCommand } from './connect-command.ts';
import { credentialCommands } from './credential-commands.ts';
import { doctorCommand } from './doctor-command.ts';
import { drillCommand, drillListCommand } from './drill-command.ts';
import { emergencyCommands } from './emergency-commands.ts';
import { journalCommand } from './journal-command.ts';
import { labCommands } from './lab-commands.ts';
import { moveCommands } from './move-commands.ts';
import { organisationCommands } from './organisation-commands.ts';
import { proposalCommands } from './proposal-commands.ts';
import { schemaCommand } from './schema-command.ts';
import { serveCommand } from './serve-command.ts';
import { serviceCommands } from './service-commands.ts';
import { spareCommands } from './spare-commands.ts';
import { startCommand } from './start-command.ts';
import { statusCommands } from './status-commands.ts';

const commands: readonly Command[] = [
  startCommand,
  serveCommand,
  ...statusCommands,
  ...labCommands,
  drillListCommand,
  drillCommand,
  ...emergencyCommands,
  ...moveCommands,
  ...proposalCommands,
  ...serviceCommands,
  ...spareCommands,
  ...credentialCommands,
  ...admissionCommands,
  ...organisationCommands,
  connectCommand,
  journalCommand,
  doctorCommand,
];

/** Every command of `move`, in the order of its help. */
export const allCommands: readonly Command[] = [...commands, schemaCommand(commands)];
