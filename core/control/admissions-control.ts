import type { CheckedInputOf, OutputOf } from '../contract/contract.ts';
import { type AdmissionSettings, defaultAdmission } from '../contract/domain.ts';
import type { DoorConfiguration } from '../contract/door-configuration.ts';
import { MoveError } from '../runtime/errors.ts';
import type { PeopleFile } from './people-file.ts';
import type { Recorder } from './recorder.ts';
import type { StateStore } from './state-store.ts';

interface AdmissionsParts {
  store: StateStore;
  recorder: Recorder;
  people: PeopleFile;
  /** The services of the fleet, and those that came with it: these are open to human-tested people by default. */
  services: () => { all: readonly string[]; own: readonly string[] };
  /** Carries a change to every access point; returns how many know of it. */
  tellDoors: () => Promise<number>;
}

/** Who comes in without a certificate, to what, and for how long. The settings are in the journal. */
export class Admissions {
  readonly #parts: AdmissionsParts;

  constructor(parts: AdmissionsParts) {
    this.#parts = parts;
  }

  settings(): AdmissionSettings {
    // What an older journal says nothing about stands as it comes.
    return { ...defaultAdmission, ...this.#parts.store.state.admission.admission };
  }

  async forDoors(): Promise<{
    open: string[];
    lifetimeMinutes: number;
    sound: boolean;
    people: DoorConfiguration['people'];
  }> {
    return {
      open: this.#open(),
      lifetimeMinutes: this.settings().lifetimeMinutes,
      sound: this.settings().sound,
      people: await this.#parts.people.list(),
    };
  }

  async show(): Promise<OutputOf<'admission.show'>> {
    const open = new Set(this.#open());
    return {
      lifetimeMinutes: this.settings().lifetimeMinutes,
      sound: this.settings().sound,
      services: this.#parts.services().all.map((service) => ({ service, humanTest: open.has(service) })),
      people: (await this.#parts.people.list()).map(({ name, services }) => ({ name, services })),
    };
  }

  /** @throws MoveError `SERVICE_UNKNOWN`, `REQUEST_INVALID`. */
  async set(input: CheckedInputOf<'admission.set'>, actor: string): Promise<OutputOf<'admission.set'>> {
    const { all } = this.#parts.services();
    const unknown = [...input.open, ...input.close].find((service) => !all.includes(service));
    if (unknown !== undefined)
      throw new MoveError(
        'SERVICE_UNKNOWN',
        `There is no service ${unknown}. Known are: ${all.join(', ') || 'none yet'}.`,
        { service: unknown },
      );
    const both = input.open.find((service) => input.close.includes(service));
    if (both !== undefined)
      throw new MoveError('REQUEST_INVALID', `${both} cannot be opened and closed at once. Say one of them.`);
    const before = this.settings();
    const value: AdmissionSettings = {
      ...before,
      lifetimeMinutes: input.lifetimeMinutes ?? before.lifetimeMinutes,
      sound: input.sound === undefined ? before.sound : input.sound === 'on',
      open: {
        ...before.open,
        ...Object.fromEntries(input.open.map((service) => [service, true])),
        ...Object.fromEntries(input.close.map((service) => [service, false])),
      },
    };
    this.#parts.recorder.record({
      kind: 'intent',
      type: 'admission.set',
      tone: 'decision',
      text: `The human test admits for ${value.lifetimeMinutes} minutes${describe(input)}.`,
      actor,
      changes: [{ op: 'upsert', collection: 'admission', id: 'admission', value }],
    });
    const accessPointsTold = await this.#parts.tellDoors();
    return { ...(await this.show()), accessPointsTold };
  }

  async addPerson(
    input: CheckedInputOf<'admission.addPerson'>,
    actor: string,
  ): Promise<OutputOf<'admission.addPerson'>> {
    const { otpauth } = await this.#parts.people.add(input);
    this.#recordPerson(`${input.name} may come in by password, to ${input.services.join(', ')}.`, actor);
    return {
      name: input.name,
      services: input.services,
      otpauth,
      accessPointsTold: await this.#parts.tellDoors(),
    };
  }

  async removePerson(
    input: CheckedInputOf<'admission.removePerson'>,
    actor: string,
  ): Promise<OutputOf<'admission.removePerson'>> {
    await this.#parts.people.remove(input.name);
    this.#recordPerson(`${input.name} may not come in by password any more.`, actor);
    return { name: input.name, accessPointsTold: await this.#parts.tellDoors() };
  }

  #recordPerson(text: string, actor: string): void {
    this.#parts.recorder.record({ kind: 'intent', type: 'admission.people', tone: 'decision', text, actor });
  }

  #open(): string[] {
    const { all, own } = this.#parts.services();
    const said = this.settings().open;
    return all.filter((service) => said[service] ?? own.includes(service)).sort();
  }
}

function describe({ sound, open, close }: CheckedInputOf<'admission.set'>): string {
  return [
    sound === undefined ? '' : sound === 'on' ? '; by sounds too' : '; by sounds no more',
    open.length > 0 ? `; open to it now: ${open.join(', ')}` : '',
    close.length > 0 ? `; closed to it now: ${close.join(', ')}` : '',
  ].join('');
}
