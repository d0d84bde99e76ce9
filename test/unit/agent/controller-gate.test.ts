import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Controller, ControllerGate, newController } from '../../../core/agent/controller-gate.ts';
import { type Authority, createAuthority } from '../../../core/credentials/authority.ts';
import { controllerPurpose, keyFingerprintOf, newNonce } from '../../../core/credentials/controller-proof.ts';
import { PASSPHRASE, temporaryDirectory, withCode } from '../credentials/helpers.ts';

const directories = [temporaryDirectory(), temporaryDirectory()] as const;
let operator: Authority;
let bakery: Authority;
beforeAll(async () => {
  operator = await createAuthority({ directory: directories[0].path, passphrase: PASSPHRASE });
  bakery = await createAuthority({ directory: directories[1].path, passphrase: PASSPHRASE });
}, 60_000);
afterAll(() => {
  for (const authority of [operator, bakery]) authority.close();
  for (const directory of directories) directory.remove();
});

describe('whom an agent obeys', () => {
  let disk: ReturnType<typeof temporaryDirectory>;
  const refused: string[] = [];
  beforeEach(() => {
    disk?.remove();
    disk = temporaryDirectory();
    refused.length = 0;
  });
  afterAll(() => disk.remove());

  async function gate(configuredBy?: string): Promise<ControllerGate> {
    const made = new ControllerGate({
      stateDirectory: disk.path,
      host: () => 'c1',
      shown: () => null,
      refused: ({ code }) => refused.push(code),
    });
    await made.restore(configuredBy);
    return made;
  }

  async function connect(to: ControllerGate, authority: Authority): Promise<Controller> {
    const controller = newController();
    const controllerNonce = newNonce();
    const { nonce } = to.meet(controller, { host: 'c1', nonce: controllerNonce });
    const meeting = { host: 'c1', controllerNonce, agentNonce: nonce };
    const signature = await authority.signStatement(controllerPurpose, meeting);
    await to.prove(controller, { authorityPem: authority.certificate.toString(), signature });
    return controller;
  }

  it('is the first that proves itself, also after a restart, and nobody else', async () => {
    const first = await gate();
    first.check(await connect(first, operator));
    await expect(connect(first, bakery)).rejects.toMatchObject({ code: 'CONTROLLER_DENIED' });
    const again = await gate();
    await expect(connect(again, bakery)).rejects.toMatchObject({ code: 'CONTROLLER_DENIED' });
    again.check(await connect(again, operator));
    expect(refused).toEqual(['CONTROLLER_DENIED', 'CONTROLLER_DENIED']);
  });

  it('is whoever configured it, where it was configured before agents asked', async () => {
    const made = await gate(operator.certificatePem);
    await expect(connect(made, bakery)).rejects.toMatchObject({ code: 'CONTROLLER_DENIED' });
  });

  it('is nobody who has said nothing, or answers twice, or means another host', async () => {
    const made = await gate();
    expect(() => made.check(newController())).toThrow(withCode('CONTROLLER_UNPROVEN'));
    const proof = { authorityPem: operator.certificate.toString(), signature: '' };
    await expect(made.prove(newController(), proof)).rejects.toMatchObject({ code: 'CONTROLLER_UNPROVEN' });
    const controller = await connect(made, operator);
    await expect(made.prove(controller, proof)).rejects.toMatchObject({ code: 'CONTROLLER_UNPROVEN' });
    expect(() => made.meet(newController(), { host: 'a1', nonce: newNonce() })).toThrow(
      withCode('AGENT_FOREIGN'),
    );
  });

  it('changes when it is given away: the one before is refused at his next word', async () => {
    const made = await gate();
    const before = await connect(made, operator);
    await made.obey(bakery.certificate.toString());
    expect(() => made.check(before)).toThrow(withCode('CONTROLLER_DENIED'));
    const after = await connect(made, bakery);
    expect(() => made.check(after)).not.toThrow();
    const { obeys } = made.meet(newController(), { host: 'c1', nonce: newNonce() });
    expect(obeys).toBe(keyFingerprintOf(bakery.certificate));
  });
});
