import { z } from 'zod';
import { movePolicySchema, servicePathSchema } from './domain.ts';

const portSchema = z.int().min(1).max(65_535);
const statusSchema = z.int().min(100).max(599);

/** A sign of health: an HTTP answer, or a TCP connection and what the service says first on it. */
export const healthProbeSchema = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('http'),
    port: portSchema,
    path: z.string(),
    status: statusSchema.optional(),
  }),
  z.object({ kind: z.literal('tcp'), port: portSchema, firstBytes: z.string().optional() }),
]);

/** Bounds of a service's pod; what is not named has none. */
export const serviceLimitsSchema = z.strictObject({
  processors: z
    .number('a number of processors, such as 0.5')
    .min(0.05, 'a service needs 0.05 processors at least')
    .max(1024, '1024 processors are the most')
    .optional(),
  memoryMiB: z
    .int('memory is a whole number of MiB, such as 256')
    .min(8, 'a service needs 8 MiB at least')
    .optional(),
  processes: z
    .int('a whole number of processes, such as 100')
    .min(2, 'a pod has 2 processes at least, its gateway and the service')
    .optional(),
  sendMbit: z
    .number('Mbit/s, such as 20')
    .min(0.1, '0.1 Mbit/s is the least')
    .max(100_000, '100000 Mbit/s are the most')
    .optional(),
});

/** A TCP service outside that a service's pod may open connections to. */
export const dialOutSchema = z.strictObject({
  address: z.ipv4('an address such as 192.0.2.10: a pod asks no name servers'),
  port: portSchema,
});

/** A service as its file describes it; `assets/services/` documents every field. */
export const serviceFileSchema = z.strictObject({
  hostname: z
    .string()
    .max(253)
    .regex(
      /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$/,
      'a service has a lower-case host name with a dot in it, such as library.example',
    ),
  homeSite: z.string().regex(/^[a-z][a-z0-9-]{0,11}$/, 'a hosting site has a name such as b1'),
  image: z
    .string()
    .regex(/^[a-z0-9][a-z0-9._-]{0,63}$/, 'an image has a plain name of lower-case letters and digits'),
  command: z
    .array(
      z.string().refine((word) => !word.includes('\0'), 'a word of a command cannot hold a zero byte'),
      'a command is a list of words, such as [nginx, -g, "daemon off;"]',
    )
    .min(1, 'a command names at least a program'),
  port: portSchema,
  direct: z.boolean().default(true),
  probe: z
    .strictObject({
      http: z
        .strictObject({
          port: portSchema.optional(),
          path: z.string().regex(/^\/[\x21-\x7e]*$/, 'a path begins with a slash and has no spaces'),
          status: statusSchema.optional(),
        })
        .optional(),
      tcp: z
        .strictObject({
          port: portSchema.optional(),
          firstBytes: z.string().min(1).max(128).optional(),
        })
        .optional(),
    })
    .refine((probe) => (probe.http === undefined) !== (probe.tcp === undefined), {
      message: 'a probe is either http or tcp',
    }),
  storage: z
    .strictObject({
      path: z.string().regex(/^\/srv\/[a-z0-9-]+$/, 'storage lies in a directory of /srv'),
      mountPoint: z
        .string()
        .regex(/^(\/[A-Za-z0-9_-][A-Za-z0-9._-]*)+$/, 'a mount point is a plain absolute path'),
      sample: z
        .string()
        .regex(/^[a-z0-9-]+$/, 'a sample is the name of a directory of assets/samples')
        .optional(),
    })
    .optional(),
  terminals: z.boolean().default(false),
  limits: serviceLimitsSchema.optional(),
  dialOut: z.array(dialOutSchema).max(16, '16 places to dial out to are the most').optional(),
  path: servicePathSchema.optional(),
  policy: movePolicySchema.default('approve'),
});
export type ServiceFile = z.infer<typeof serviceFileSchema>;

/** A service that somebody added: its file, and what the control plane remembers beside it. */
export const serviceDefinitionSchema = z.object({
  id: z.string().describe('the hostname'),
  source: z.string().describe('what its file was called'),
  file: serviceFileSchema,
  number: z.number().int().describe('from which the virtual addresses of its pod follow'),
  addedAt: z.number().describe('milliseconds since the epoch'),
  removedAt: z.number().nullable().describe('when it was removed; only its epoch is remembered then'),
  lastEpoch: z.number().int().describe('the epoch it had when it was removed; a later one begins above it'),
});
export type ServiceDefinition = z.infer<typeof serviceDefinitionSchema>;
