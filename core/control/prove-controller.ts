import { X509Certificate } from 'node:crypto';
import type { AgentContract } from '../contract/agent-contract.ts';
import { type Client, createClient } from '../contract/channel.ts';
import type { Authority } from '../credentials/authority.ts';
import {
  checkAgent,
  controllerPurpose,
  keyFingerprintOf,
  newNonce,
} from '../credentials/controller-proof.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { jsonLinesPort } from '../runtime/message-ports/json-lines-port.ts';

/** Where a host's agent listens for its control plane. */
export const agentSocket = '/run/move/agent.sock';

const proofDeadlineMs = 10_000;
const handOverDeadlineMs = 20_000;

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

/** A connection to a host's agent, which knows nothing of either end yet. @throws MoveError of SSH, `CHANNEL_REFUSED`. */
export async function dialAgent(
  fleet: Pick<Fleet, 'connection'>,
  host: string,
): Promise<Client<AgentContract>> {
  const connection = await fleet.connection(host);
  return createClient<AgentContract>(jsonLinesPort(await connection.forwardSocket(agentSocket)));
}

/**
 * Gives a host's agent to another authority. Done already is fine: whoever gave it away and died before he could write
 * that down is refused there now.
 * @throws MoveError `SITE_BUSY` while a pod or a storage is there, `CONTROLLER_DENIED`, and of hosts that do not answer.
 */
export async function handOverAgent(
  fleet: Pick<Fleet, 'connection'>,
  authority: Pick<Authority, 'certificate' | 'signStatement'>,
  host: string,
  authorityPem: string,
): Promise<void> {
  const client = await dialAgent(fleet, host);
  try {
    const met = await client.call('agent.meet', { host, nonce: newNonce() }, { deadlineMs: proofDeadlineMs });
    if (met.obeys === keyFingerprintOf(new X509Certificate(authorityPem))) return;
    await proveController(host, client, authority);
    await client.call('agent.handOver', { authorityPem }, { deadlineMs: handOverDeadlineMs });
  } finally {
    client.close();
  }
}
