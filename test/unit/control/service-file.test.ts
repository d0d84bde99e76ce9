import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { describeServiceFile, readServiceFile } from '../../../core/control/service-file.ts';
import { productFile } from '../../../core/lab/paths.ts';
import { podOfService } from '../../../core/moves/pod-of-service.ts';
import { checkPodSpec } from '../../../core/pods/pod-spec.ts';
import type { MoveError } from '../../../core/runtime/errors.ts';

const folder = productFile('assets/services');
const names = readdirSync(folder).filter((name) => name.endsWith('.yaml'));
const text = (name: string) => readFileSync(join(folder, name), 'utf8');
const sample = text('library.yaml');
const shop = { hostname: 'shop.example', homeSite: 'a1', port: 80, direct: true };
const around = { sites: new Set(['a1', 'a2', 'b1', 'b2', 'c1', 'c2']), services: [shop] };

describe('the service files that come with the product', () => {
  it.each(names)('%s is right, and makes a pod', (name) => {
    const description = describeServiceFile(readServiceFile(text(name), name, around), 32);
    expect(() => checkPodSpec(podOfService(description))).not.toThrow();
  });

  it('can all be added one after the other', () => {
    const services = [shop];
    for (const name of names) {
      const file = readServiceFile(text(name), name, { ...around, services });
      services.push(file);
    }
    expect(services).toHaveLength(1 + names.length);
  });

  it('explain every field in one of them', () => {
    const fields = sample.split('\n').filter((line) => /^\s*[a-zA-Z]+:/.test(line));
    expect(fields.map((line) => line.trim().split(':')[0])).toEqual([
      ...['hostname', 'homeSite', 'image', 'command', 'port', 'direct', 'probe', 'http', 'storage', 'path'],
      ...['mountPoint', 'sample', 'terminals', 'limits', 'processors', 'memoryMiB', 'processes', 'sendMbit'],
      ...['dialOut', 'path', 'policy'],
    ]);
  });
});

describe('a service file with faults', () => {
  const lineOf = (start: string) => sample.split('\n').findIndex((line) => line.startsWith(start)) + 1;
  const faults: [string, string, string, { line: number; field: string; fault: string }][] = [
    [
      'a name without a dot',
      'hostname: library.example',
      'hostname: library',
      { line: lineOf('hostname:'), field: 'hostname', fault: 'with a dot in it' },
    ],
    [
      'a name that is taken',
      'hostname: library.example',
      'hostname: shop.example',
      { line: lineOf('hostname:'), field: 'hostname', fault: 'shop.example is there already' },
    ],
    [
      'less than a pod consists of',
      '  processes: 64',
      '  processes: 1',
      { line: lineOf('  processes:'), field: 'limits.processes', fault: '2 processes at least' },
    ],
    [
      'memory in another unit',
      '  memoryMiB: 256',
      '  memoryMiB: 256M',
      { line: lineOf('  memoryMiB:'), field: 'limits.memoryMiB', fault: 'a whole number of MiB' },
    ],
    [
      'a name to dial out to',
      'address: 192.0.2.10',
      'address: database.example',
      {
        line: lineOf('  - { address'),
        field: 'dialOut.0.address',
        fault: 'a pod asks no name servers',
      },
    ],
    [
      'a path that is none',
      'policy: two-hop, nearest: 1',
      'policy: three-hop, nearest: 1',
      { line: lineOf('path: { policy'), field: 'path.policy', fault: 'two-hop' },
    ],
    [
      'a home that is none',
      'homeSite: b1',
      'homeSite: z9',
      { line: lineOf('homeSite:'), field: 'homeSite', fault: 'there is no hosting site z9' },
    ],
    [
      'a command that is one word',
      'command: [nginx, -c, /etc/nginx/samples.conf]',
      'command: nginx -c /etc/nginx/samples.conf',
      { line: lineOf('command:'), field: 'command', fault: 'a list of words' },
    ],
    [
      'a port beyond the last',
      'port: 443',
      'port: 70000',
      { line: lineOf('port:'), field: 'port', fault: '65535' },
    ],
    [
      'a probe of no kind',
      '  http: { port: 80, path: /, status: 200 }',
      '  {}',
      { line: lineOf('probe:') + 1, field: 'probe', fault: 'either http or tcp' },
    ],
    [
      'a mount point with a way up',
      '  mountPoint: /var/www/html',
      '  mountPoint: /var/../etc',
      { line: lineOf('  mountPoint:'), field: 'storage.mountPoint', fault: 'plain absolute path' },
    ],
    [
      'a field that nobody knows',
      'terminals: false',
      'terminal: false',
      { line: 1, field: '', fault: 'terminal' },
    ],
    [
      'a policy that there is not',
      'policy: approve',
      'policy: perhaps',
      { line: lineOf('policy:'), field: 'policy', fault: 'manual' },
    ],
    ['what is no YAML', 'port: 443', 'port: [443', { line: lineOf('port:') + 1, field: '', fault: '' }],
  ];

  it.each(faults)('names the line of %s', (_, from, to, wanted) => {
    expect(sample).toContain(from);
    const error = faultOf(sample.replace(from, to));
    const { faults: found } = error.details as { faults: { line: number; field: string; fault: string }[] };
    const near = found.filter(({ line }) => Math.abs(line - wanted.line) <= (wanted.field === '' ? 10 : 0));
    expect(near.map(({ field }) => field)).toContain(wanted.field);
    expect(found.map(({ fault }) => fault).join()).toContain(wanted.fault);
    expect(error.message).toContain(`line ${found[0]?.line}`);
  });

  it('refuses the port of a neighbour for direct users, and takes it where nobody comes directly', () => {
    const neighbour = sample.replace('homeSite: b1', 'homeSite: a1').replace('port: 443', 'port: 80');
    expect(faultOf(neighbour).message).toContain('is that of shop.example for direct users');
    const hidden = neighbour.replace('direct: true', 'direct: false');
    expect(readServiceFile(hidden, 'hidden.yaml', around)).toMatchObject({ port: 80, direct: false });
  });

  function faultOf(changed: string): MoveError {
    try {
      readServiceFile(changed, 'changed.yaml', around);
    } catch (error) {
      expect(error).toMatchObject({ code: 'SERVICE_FILE_INVALID' });
      return error as MoveError;
    }
    throw new Error('it was taken');
  }
});
