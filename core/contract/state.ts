import { z } from 'zod';
import {
  admissionSettingsSchema,
  attackSchema,
  clientHostSchema,
  consoleInfoSchema,
  credentialSchema,
  drillSchema,
  floodSchema,
  ispSchema,
  journalEventSchema,
  lifelineSchema,
  moveSchema,
  overlayNodeSchema,
  proposalSchema,
  ringSchema,
  serviceSchema,
  siteSchema,
  spareSchema,
  stoneSchema,
  visitorSchema,
} from './domain.ts';
import { preflightSchema } from './preflight.ts';
import { serviceDefinitionSchema } from './service-file.ts';

/** Every collection of the console's state: entities by id. */
export const collectionSchemas = {
  console: consoleInfoSchema,
  isps: ispSchema,
  nodes: overlayNodeSchema,
  ring: ringSchema,
  sites: siteSchema,
  stones: stoneSchema,
  clients: clientHostSchema,
  services: serviceSchema,
  definitions: serviceDefinitionSchema,
  admission: admissionSettingsSchema,
  visitors: visitorSchema,
  lifelines: lifelineSchema,
  attacks: attackSchema,
  proposals: proposalSchema,
  moves: moveSchema,
  preflights: preflightSchema,
  spares: spareSchema,
  credentials: credentialSchema,
  drills: drillSchema,
  floods: floodSchema,
  events: journalEventSchema,
} as const;

export type CollectionName = keyof typeof collectionSchemas;
export type Entity<C extends CollectionName> = z.infer<(typeof collectionSchemas)[C]>;
export type ConsoleState = { [C in CollectionName]: Readonly<Record<string, Entity<C>>> };

/** One small change: a whole entity, some of its fields, or its removal. */
export type Change = {
  [C in CollectionName]:
    | { op: 'upsert'; collection: C; id: string; value: Entity<C> }
    | { op: 'patch'; collection: C; id: string; value: Partial<Entity<C>> }
    | { op: 'remove'; collection: C; id: string };
}[CollectionName];

/** The newest events that a snapshot carries; older ones are read from the journal. */
export const eventsKept = 200;

const collectionNames = Object.keys(collectionSchemas) as CollectionName[];

/** A state in which every collection is empty. */
export function emptyState(): ConsoleState {
  return Object.fromEntries(collectionNames.map((name) => [name, {}])) as unknown as ConsoleState;
}

/**
 * The pure reducer that core and every shell share: applies changes in order and returns a new state.
 * Untouched collections and entities keep their identity. A patch of an unknown id is ignored, since
 * its entity was removed.
 */
export function applyChanges(state: ConsoleState, changes: readonly Change[]): ConsoleState {
  const next: Record<string, Record<string, unknown>> = { ...state };
  const copied = new Set<string>();
  for (const change of changes) {
    if (!copied.has(change.collection)) {
      next[change.collection] = { ...next[change.collection] };
      copied.add(change.collection);
    }
    const collection = next[change.collection]!;
    if (change.op === 'upsert') collection[change.id] = change.value;
    else if (change.op === 'remove') delete collection[change.id];
    else if (collection[change.id] !== undefined)
      collection[change.id] = { ...(collection[change.id] as object), ...change.value };
  }
  if (copied.has('events')) next.events = newest(next.events as ConsoleState['events']);
  return next as unknown as ConsoleState;
}

function newest(events: ConsoleState['events']): ConsoleState['events'] {
  const ids = Object.keys(events);
  if (ids.length <= eventsKept) return events;
  const kept = ids.sort((a, b) => Number(a) - Number(b)).slice(-eventsKept);
  return Object.fromEntries(kept.map((id) => [id, events[id]!]));
}

const changeSchema = z.object({
  op: z.enum(['upsert', 'patch', 'remove']),
  collection: z.enum(collectionNames as [CollectionName, ...CollectionName[]]),
  id: z.string(),
  value: z.unknown().optional(),
});

const stateObject = z.object(
  Object.fromEntries(
    Object.entries(collectionSchemas).map(([name, schema]) => [name, z.record(z.string(), schema)]),
  ),
);

/** First message of the `state` stream is the snapshot; all later ones are deltas, in order. */
export const stateMessageSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('snapshot'), revision: z.number().int(), state: stateObject }),
  z.object({ kind: z.literal('delta'), revision: z.number().int(), changes: z.array(changeSchema) }),
]);

export type StateMessage =
  | { kind: 'snapshot'; revision: number; state: ConsoleState }
  | { kind: 'delta'; revision: number; changes: Change[] };
