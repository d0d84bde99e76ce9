import type { CheckedInputOf, OutputOf } from '../contract/contract.ts';
import type { Service } from '../contract/domain.ts';
import { defaultServiceCapacity, type ResponseSettings } from '../contract/response-settings.ts';
import { MoveError } from '../runtime/errors.ts';
import { type ControlContext, siteOf } from './control-context.ts';
import { responseOf } from './situation.ts';

/** How services answer attacks, and what they need of sites: journalled here, followed by everything that moves them. */
export class ServicePolicies {
  readonly #context: ControlContext;
  readonly #changed: () => void;

  /** `changed` is called after each change of who decides. */
  constructor(context: ControlContext, changed: () => void) {
    this.#context = context;
    this.#changed = changed;
  }

  /** Sets what is named and leaves the rest. @throws MoveError `SERVICE_UNKNOWN`. */
  set(input: CheckedInputOf<'service.policy'>, actor: string): OutputOf<'service.policy'> {
    const service = this.#service(input.service);
    const policy = input.policy ?? service.policy;
    const before = responseOf(service);
    const response: ResponseSettings = {
      deadlineSeconds: input.deadline === undefined ? before.deadlineSeconds : input.deadline || null,
      atDeadline: input.atDeadline ?? before.atDeadline,
      home: input.home ?? before.home,
      homeQuietSeconds: input.homeQuiet ?? before.homeQuietSeconds,
      decoy: input.decoy === undefined ? before.decoy : input.decoy === 'on',
    };
    const { deadlineSeconds } = response;
    const waits =
      policy === 'approve' && deadlineSeconds !== null
        ? ` Nobody is waited for after ${deadlineSeconds} s: then it ${response.atDeadline === 'move' ? 'moves' : 'stays'}.`
        : '';
    this.#context.recorder.record({
      kind: 'intent',
      type: 'service.policy',
      tone: 'decision',
      text: `Policy of ${service.id}: ${policy}, the way home ${response.home}, decoy ${response.decoy ? 'on' : 'off'}.${waits}`,
      subject: service.id,
      actor,
      changes: [{ op: 'patch', collection: 'services', id: service.id, value: { policy, response } }],
    });
    this.#changed();
    return { service: service.id, policy, response };
  }

  /** @throws MoveError `SERVICE_UNKNOWN`, `SITE_UNKNOWN`. */
  setCapacity(input: CheckedInputOf<'service.capacity'>, actor: string): OutputOf<'service.capacity'> {
    const service = this.#service(input.service);
    const before = service.capacity ?? defaultServiceCapacity;
    for (const site of input.reserve) siteOf(this.#context, site);
    const reserved = new Set([...before.reservedAt, ...input.reserve]);
    for (const site of input.release) reserved.delete(site);
    const capacity = {
      processors: input.processors ?? before.processors,
      memoryMb: input.memoryMb ?? before.memoryMb,
      reservedAt: [...reserved].sort(),
    };
    const where =
      capacity.reservedAt.length > 0 ? `reserved at ${capacity.reservedAt.join(', ')}` : 'on demand';
    this.#context.recorder.record({
      kind: 'intent',
      type: 'service.capacity',
      tone: 'decision',
      text: `${service.id} needs ${capacity.processors} processors and ${capacity.memoryMb} MB, ${where}.`,
      subject: service.id,
      actor,
      changes: [{ op: 'patch', collection: 'services', id: service.id, value: { capacity } }],
    });
    return { service: service.id, capacity };
  }

  #service(id: string): Service {
    const service = this.#context.store.state.services[id];
    if (!service) throw new MoveError('SERVICE_UNKNOWN', `There is no service ${id}.`, { service: id });
    return service;
  }
}
