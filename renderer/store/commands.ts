import type { InputOf, MethodName, OutputOf } from '../../core/contract/contract.ts';
import type { ServicePath } from '../../core/contract/domain.ts';
import { text } from '../text.ts';
import { useConsole } from './console-store.ts';
import { say, sayError } from './ui-store.ts';

const deadlineMs = 30_000;

/** Calls a method of the contract; rejects with the fault. */
export async function ask<N extends MethodName>(method: N, input: InputOf<N>): Promise<OutputOf<N>> {
  const { client } = useConsole.getState();
  if (!client) throw new Error(text.connection.cannotAct);
  return (await client.call(method, input as never, { deadlineMs })) as OutputOf<N>;
}

/** Calls a method; a fault becomes a toast and the answer `null`. `done` makes the sentence of success. */
export async function run<N extends MethodName>(
  method: N,
  input: InputOf<N>,
  done?: (output: OutputOf<N>) => string,
): Promise<OutputOf<N> | null> {
  try {
    const output = await ask(method, input);
    if (done) say('good', done(output));
    return output;
  } catch (error) {
    sayError(error);
    return null;
  }
}

export const stopEverything = () =>
  run('emergency.stop', {}, (o) => text.stop.done(o.floodsStopped, o.drillsStopped, o.movesTakenBack));
export const release = () => run('emergency.release', {}, () => text.stop.released);
export const approve = (proposal: string) =>
  run('proposal.approve', { proposal }, (o) => text.proposal.approved(o.proposal));
export const decline = (proposal: string) =>
  run('proposal.decline', { proposal }, (o) => text.proposal.declined(o.proposal));
export const startMove = (input: InputOf<'move.start'>) =>
  run('move.start', input, (o) => text.move.started(o.move));
export const continueMove = (move: string) => run('move.continue', { move }, () => text.move.continued);
export const cancelMove = (move: string) => run('move.cancel', { move }, () => text.move.cancelled);
export const setPath = (service: string, path: ServicePath) =>
  run('service.path', { service, ...path }, (o) => text.service.paths.done(o.service, o.path));
export const rehearse = (service: string) =>
  run('service.preflight', { service }, ({ preflight }) => text.preflight.done(preflight));
export const setAdmission = (input: InputOf<'admission.set'>, done: string) =>
  run('admission.set', input, (o) => `${done} ${text.admission.told(o.accessPointsTold)}`);
export const verifyRing = () => run('ring.verify', {}, (o) => text.ring.verified(o));
export const verifyJournal = () => run('journal.verify', {}, (o) => text.journal.verified(o));
export const startFlood = (input: InputOf<'flood.start'>) =>
  run('flood.start', input, () => text.drill.floodStarted);
export const startDrill = (input: InputOf<'drill.start'>) =>
  run('drill.start', input, (o) => text.drill.started(o.drill));
