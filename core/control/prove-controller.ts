import { X509Certificate } from 'node:crypto';
import type { AgentContract } from '../contract/agent-contract.ts';
import { type Client, createClient } from '../contract/channel.ts';
import type { Authority } from '../credentials/authority.ts';
import { checkAgent, controllerPurpose, newNonce } from '../credentials/controller-proof.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { jsonLinesPort } from '../runtime/message-ports/json-lines-port.ts';

/** Where a host's agent listens for its control plane. */
export const agentSocket = '/run/move/agent.sock';

const proofDeadlineMs = 10_000;

/**
 * Makes a host's agent and the control plane known to each other on one connection; the agent answers nothing else
 * before that. One that has no certificate yet shows none: SSH alone says then that it is that host.
 * @throws MoveError `AGENT_FOREIGN`; of the agent `CONTROLLER_DENIED`, `CONTROLLER_UNPROVEN`.
 */
export async function proveController(
  host: string,
  client: Client<AgentContract>,
  authority: Pick<Authority, 'certificate' | 'signStatement'>,
): Promise<void> {
  const controllerNonce = newNonce();
  const met = await client.call(
    'agent.meet',
    { host, nonce: controllerNonce },
    { deadlineMs: proofDeadlineMs },
  );
  const meeting = { host, controllerNonce, agentNonce: met.nonce };
  const authorityPem = authority.certificate.toString();
  const signature = await authority.signStatement(controllerPurpose, meeting);
  // Proven first: an agent that obeys somebody else says so itself, and its own control plane hears of it.
  await client.call('agent.prove', { authorityPem, signature }, { deadlineMs: proofDeadlineMs });
  if (met.proof) checkAgent(meeting, met.proof, new X509Certificate(authorityPem));
}

/** The key of the authority that a host's agent says it obeys (SHA-256); null for nobody's, or no agent. */
export async function obeyedBy(fleet: Pick<Fleet, 'connection'>, host: string): Promise<string | null> {
  const connection = await fleet.connection(host);
  const socket = await connection.forwardSocket(agentSocket).catch(() => null);
  if (!socket) return null;
  const client = createClient<AgentContract>(jsonLinesPort(socket));
  try {
    const met = await client.call('agent.meet', { host, nonce: newNonce() }, { deadlineMs: proofDeadlineMs });
    return met.obeys;
  } finally {
    client.close();
  }
}
