import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Authority, createAuthority } from '../../../core/credentials/authority.ts';
import {
  checkAgent,
  checkController,
  controllerPurpose,
  keyFingerprintOf,
  type Meeting,
  newNonce,
  proveAgent,
} from '../../../core/credentials/controller-proof.ts';
import { keyFor, PASSPHRASE, temporaryDirectory, withCode } from './helpers.ts';

const directories = [temporaryDirectory(), temporaryDirectory()] as const;
let operator: Authority;
let other: Authority;
beforeAll(async () => {
  operator = await createAuthority({ directory: directories[0].path, passphrase: PASSPHRASE });
  other = await createAuthority({ directory: directories[1].path, passphrase: PASSPHRASE });
}, 60_000);
afterAll(() => {
  for (const authority of [operator, other]) authority.close();
  for (const directory of directories) directory.remove();
});

const meet = (host = 'a1'): Meeting => ({ host, controllerNonce: newNonce(), agentNonce: newNonce() });
const proofBy = async (authority: Authority, meeting: Meeting) => ({
  authorityPem: authority.certificate.toString(),
  signature: await authority.signStatement(controllerPurpose, meeting),
});

async function agentOf(authority: Authority, name = 'a1') {
  const { privateKeyPem, key } = await keyFor(name);
  const site = { profile: 'site', name, services: ['shop.example'], addresses: ['192.0.2.1'] };
  const { certificatePem } = await authority.issue({ ...site, key });
  return {
    certificatePem,
    answer: (meeting: Meeting) => ({ certificatePem, signature: proveAgent(meeting, privateKeyPem) }),
  };
}

describe('a control plane before an agent', () => {
  it('is the one that holds the key of the authority which the agent obeys', async () => {
    const meeting = meet();
    const known = keyFingerprintOf(operator.certificate);
    const proof = await proofBy(operator, meeting);
    expect(checkController(meeting, proof, known)).toBe(known);
    expect(checkController(meeting, proof, null)).toBe(known);
  });

  it('is refused when it is another authority’s, by a name of its own', async () => {
    const meeting = meet();
    const proof = await proofBy(other, meeting);
    const obeys = keyFingerprintOf(operator.certificate);
    expect(() => checkController(meeting, proof, obeys)).toThrow(withCode('CONTROLLER_DENIED'));
  });

  it('is not believed with another’s certificate, an old answer, or one for another host', async () => {
    const meeting = meet();
    const refused = withCode('CONTROLLER_UNPROVEN');
    const stolen = { ...(await proofBy(other, meeting)), authorityPem: operator.certificate.toString() };
    expect(() => checkController(meeting, stolen, null)).toThrow(refused);
    const earlier = await proofBy(operator, { ...meeting, agentNonce: newNonce() });
    expect(() => checkController(meeting, earlier, null)).toThrow(refused);
    const elsewhere = await proofBy(operator, { ...meeting, host: 'b1' });
    expect(() => checkController(meeting, elsewhere, null)).toThrow(refused);
    const { certificatePem, answer } = await agentOf(operator);
    // What an agent signs is for another purpose, and its certificate is no authority's.
    const reflected = { authorityPem: certificatePem, signature: answer(meeting).signature };
    expect(() => checkController(meeting, reflected, null)).toThrow(refused);
    const scribble = { authorityPem: '-----BEGIN nothing', signature: '' };
    expect(() => checkController(meeting, scribble, null)).toThrow(refused);
  });
});

describe('an agent before a control plane', () => {
  it('is the one on that host, by the key that this authority has certified', async () => {
    const meeting = meet();
    const { answer } = await agentOf(operator);
    expect(() => checkAgent(meeting, answer(meeting), operator.certificate)).not.toThrow();
  });

  it('is refused when it is somebody else’s, on another host, or without its key', async () => {
    const meeting = meet();
    const refused = withCode('AGENT_FOREIGN');
    const foreign = await agentOf(other);
    expect(() => checkAgent(meeting, foreign.answer(meeting), operator.certificate)).toThrow(refused);
    const neighbour = await agentOf(operator, 'b1');
    expect(() => checkAgent(meeting, neighbour.answer(meeting), operator.certificate)).toThrow(refused);
    const own = await agentOf(operator);
    const replayed = own.answer(meet());
    expect(() => checkAgent(meeting, replayed, operator.certificate)).toThrow(refused);
  });
});
