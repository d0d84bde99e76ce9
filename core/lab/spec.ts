import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { siteOfferSchema } from '../contract/response-settings.ts';
import { readCheckedYaml } from '../runtime/checked-yaml.ts';
import { MoveError } from '../runtime/errors.ts';

// the longest name that still fits into an interface's name (15) with its two-letter suffix
const nameSchema = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,11}$/, 'a name is a lower-case letter, then up to 11 letters, digits or hyphens');

const linkSchema = z.strictObject({
  rateMbit: z.number().min(0.1).max(10_000),
  queueMs: z.number().min(1).max(5_000),
});

/** Services that a lab may bring along; those that are added have the numbers above. */
export const labServicesMost = 32;

const delaySchema = z.number().min(0).max(1_000);

const siteSchema = z.strictObject({
  name: nameSchema,
  primary: linkSchema.optional(),
  secondary: linkSchema.optional(),
  offers: z.strictObject(siteOfferSchema.shape).optional(),
});

/** The lab's specification file: what `core/lab/default-spec.yaml` documents field by field. */
export const labSpecSchema = z
  .strictObject({
    name: nameSchema,
    links: z.strictObject({
      primary: linkSchema,
      secondary: linkSchema,
      stone: linkSchema,
      access: linkSchema,
    }),
    isps: z
      .array(
        z.strictObject({
          name: nameSchema,
          oneWayDelayMs: delaySchema,
          sites: z.array(siteSchema).max(50),
          stones: z.array(z.strictObject({ name: nameSchema })).max(20),
        }),
      )
      .min(1)
      .max(9),
    networks: z
      .array(
        z.strictObject({
          name: nameSchema,
          role: z.enum(['overlay', 'client', 'bot', 'admin']),
          oneWayDelayMs: delaySchema,
          hosts: z.array(nameSchema).min(1).max(200),
        }),
      )
      .min(1)
      .max(50),
    ring: z.strictObject({ successorListLength: z.int().min(2).max(16) }).optional(),
    services: z
      .array(
        z.strictObject({
          hostname: z.hostname(),
          homeSite: nameSchema,
          image: z.string().regex(/^[a-z0-9-]+$/),
          sample: z.string().regex(/^[a-z0-9-]+$/),
          storage: z.string().regex(/^\/srv\/[a-z0-9-]+$/, 'storage lies in a directory of /srv'),
          mountPoint: z.string().startsWith('/'),
          port: z.int().min(1).max(65_535),
        }),
      )
      .max(labServicesMost),
  })
  .superRefine((spec, context) => {
    const seen = new Map<string, string>();
    const claim = (name: string, path: (string | number)[]) => {
      const owner = seen.get(name);
      if (owner !== undefined || ['core', 'wire', 'lab'].includes(name)) {
        const message = `the name ${name} is taken${owner === undefined ? ' by the lab itself' : ` by ${owner}`}`;
        context.addIssue({ code: 'custom', message, path });
      }
      seen.set(name, path.join('.'));
    };
    for (const [i, isp] of spec.isps.entries()) {
      claim(isp.name, ['isps', i, 'name']);
      for (const [k, site] of isp.sites.entries()) claim(site.name, ['isps', i, 'sites', k, 'name']);
      for (const [k, stone] of isp.stones.entries()) claim(stone.name, ['isps', i, 'stones', k, 'name']);
      if (isp.sites.length > 0 && isp.stones.length === 0) {
        const message =
          'an ISP with sites needs a stepping stone: nothing else reaches their secondary addresses';
        context.addIssue({ code: 'custom', message, path: ['isps', i, 'stones'] });
      }
    }
    const members = spec.networks
      .filter(({ role }) => role === 'overlay')
      .reduce((sum, { hosts }) => sum + hosts.length, 0);
    const wanted = spec.ring?.successorListLength;
    if (wanted !== undefined && members < wanted + 1) {
      const message = `a ring with successor lists of ${wanted} starts with at least ${wanted + 1} overlay nodes; this one has ${members}`;
      context.addIssue({ code: 'custom', message, path: ['ring', 'successorListLength'] });
    }
    let admins = 0;
    for (const [i, network] of spec.networks.entries()) {
      claim(network.name, ['networks', i, 'name']);
      for (const [k, host] of network.hosts.entries()) claim(host, ['networks', i, 'hosts', k]);
      if (network.role === 'admin') admins += network.hosts.length;
    }
    if (admins !== 1) {
      const message = `a lab has exactly one admin host; this one has ${admins}`;
      context.addIssue({ code: 'custom', message, path: ['networks'] });
    }
    const sites = new Set(spec.isps.flatMap((isp) => isp.sites.map((site) => site.name)));
    for (const [i, service] of spec.services.entries()) {
      if (sites.has(service.homeSite)) continue;
      const message = `there is no hosting site ${service.homeSite}`;
      context.addIssue({ code: 'custom', message, path: ['services', i, 'homeSite'] });
    }
  });

export type LabSpec = z.infer<typeof labSpecSchema>;
export type LinkSpec = z.infer<typeof linkSchema>;

/**
 * Reads a specification from YAML text. `source` is what errors call it.
 * @throws MoveError `LAB_SPEC_INVALID`; each fault names its line and field.
 */
export function parseLabSpec(text: string, source: string): LabSpec {
  return readCheckedYaml(text, labSpecSchema, {
    what: 'lab specification',
    source,
    code: 'LAB_SPEC_INVALID',
  });
}

/**
 * As {@link parseLabSpec}, from a file.
 * @throws MoveError `LAB_SPEC_UNREADABLE` when the file cannot be read.
 */
export async function readLabSpec(file: string): Promise<LabSpec> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new MoveError(
      'LAB_SPEC_UNREADABLE',
      `The lab specification ${file} cannot be read: ${reason}.`,
      { file },
      cause,
    );
  }
  return parseLabSpec(text, file);
}
