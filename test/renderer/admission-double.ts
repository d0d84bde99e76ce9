import { type Handlers, RemoteError } from '../../core/contract/channel.ts';
import type { Contract } from '../../core/contract/contract.ts';
import { defaultAdmission } from '../../core/contract/domain.ts';
import type { Change, ConsoleState } from '../../core/contract/state.ts';
import { nameInRequest } from '../../renderer/model/certificate-request.ts';

/** What the double of the console gives to its parts. */
export interface DoubleParts {
  state(): ConsoleState;
  apply(...changes: Change[]): void;
  record(method: string, input: unknown): void;
  event(type: string, text: string): void;
  /** What a query is to answer with instead; queries are not recorded. */
  faultOf(method: string): RemoteError | null;
}

const accessPoints = 8;

/** Admission as core's: settings that change, people with passwords, visitors; and requests that are signed. */
export function admissionHandlers(parts: DoubleParts) {
  const people = [
    { name: 'Katherine Johnson', services: ['shop.example'] },
    { name: 'Dorothy Vaughan', services: ['shop.example', 'stock.example'] },
  ];
  const settings = () => parts.state().admission.admission ?? defaultAdmission;
  const show = () => {
    const { lifetimeMinutes, sound, open } = settings();
    const services = Object.keys(parts.state().services).map((service) => ({
      service,
      humanTest: open[service] ?? service === 'shop.example',
    }));
    return { lifetimeMinutes, sound, services, people: people.map((person) => ({ ...person })) };
  };
  return {
    'admission.show': () => {
      const fault = parts.faultOf('admission.show');
      if (fault) throw fault;
      return show();
    },
    'admission.set': (input) => {
      parts.record('admission.set', input);
      const before = settings();
      const value = {
        ...before,
        lifetimeMinutes: input.lifetimeMinutes ?? before.lifetimeMinutes,
        sound: input.sound === undefined ? before.sound : input.sound === 'on',
        open: {
          ...before.open,
          ...Object.fromEntries(input.open.map((service) => [service, true])),
          ...Object.fromEntries(input.close.map((service) => [service, false])),
        },
      };
      parts.apply({ op: 'upsert', collection: 'admission', id: 'admission', value });
      return { ...show(), accessPointsTold: accessPoints };
    },
    'admission.addPerson': (input) => {
      parts.record('admission.addPerson', { ...input, password: '(given)' });
      if (people.some(({ name }) => name === input.name))
        throw new RemoteError({
          code: 'PERSON_KNOWN',
          message: `${input.name} has a password already. Remove it first; the second step is made anew then.`,
        });
      people.push({ name: input.name, services: input.services });
      parts.event('admission.people', `${input.name} may come in by password.`);
      const otpauth = `otpauth://totp/MOVE:${encodeURIComponent(input.name)}?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=MOVE&algorithm=SHA1&digits=6&period=30`;
      return { name: input.name, services: input.services, otpauth, accessPointsTold: accessPoints };
    },
    'admission.removePerson': (input) => {
      parts.record('admission.removePerson', input);
      const at = people.findIndex(({ name }) => name === input.name);
      if (at >= 0) people.splice(at, 1);
      parts.event('admission.people', `${input.name} may not come in by password any more.`);
      return { name: input.name, accessPointsTold: accessPoints };
    },
    'admission.visitors': () => ({ visitors: Object.values(parts.state().visitors) }),
    'admission.revoke': (input) => {
      parts.record('admission.revoke', input);
      const visitor = { ...parts.state().visitors[input.serial]!, revokedAt: Date.now() };
      parts.apply({ op: 'upsert', collection: 'visitors', id: visitor.id, value: visitor });
      return { visitor, accessPointsTold: accessPoints, toldWithinMs: 38 };
    },
    'credential.sign': (input) => {
      parts.record('credential.sign', { ...input, requestPem: '(given)' });
      const said = nameInRequest(input.requestPem);
      if (said !== input.name)
        throw new RemoteError({
          code: 'REQUEST_INVALID',
          message: `The certificate cannot be issued: the certificate request is for "${said ?? ''}", not for "${input.name}".`,
        });
      const credential = {
        ...Object.values(parts.state().credentials)[0]!,
        id: `51${Object.keys(parts.state().credentials).length.toString(16).padStart(16, '0')}`,
        name: input.name,
        services: input.services,
        notBefore: Date.now(),
        notAfter: Date.now() + input.days * 86_400_000,
      };
      parts.apply({ op: 'upsert', collection: 'credentials', id: credential.id, value: credential });
      const pem = '-----BEGIN CERTIFICATE-----\nZG91Ymxl\n-----END CERTIFICATE-----\n';
      return { credential, certificatePem: pem, trustPem: pem };
    },
  } satisfies Partial<Handlers<Contract, null>>;
}
