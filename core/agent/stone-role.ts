import type { AgentConfiguration } from '../contract/agent-contract.ts';
import { openSteppingStone } from '../moves/stepping-stone.ts';
import type { RoleContext, RunningRole } from './role.ts';

/** Runs a stepping stone on this host. */
export async function startStoneRole(
  configuration: NonNullable<AgentConfiguration['roles']['stone']>,
  context: RoleContext,
): Promise<RunningRole> {
  const stone = await openSteppingStone({
    listen: configuration.listen,
    identity: context.identity,
    verifyPeer: context.verifyPeer,
    allowed: () => configuration.allowed,
    onRefused: context.refused,
  });
  return {
    handlers: {},
    recheck: () => stone.server.recheck().length,
    stop: () => stone.close(),
  };
}
