import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { productFile } from '../../../core/lab/paths.ts';
import { parseLabSpec } from '../../../core/lab/spec.ts';
import { MoveError } from '../../../core/runtime/errors.ts';

const text = readFileSync(productFile('core/lab/default-spec.yaml'), 'utf8');

function faultsOf(changed: string): MoveError {
  try {
    parseLabSpec(changed, 'test.yaml');
  } catch (error) {
    if (error instanceof MoveError) return error;
    throw error;
  }
  throw new Error('the specification was accepted');
}

function replaced(from: string, to: string): { changed: string; line: number } {
  expect(text).toContain(from);
  return { changed: text.replace(from, to), line: text.slice(0, text.indexOf(from)).split('\n').length };
}

describe('the default specification', () => {
  const spec = parseLabSpec(text, 'default');

  it('describes the lab that the documents promise', () => {
    expect(spec.isps).toHaveLength(3);
    expect(spec.isps.flatMap(({ sites }) => sites)).toHaveLength(6);
    expect(spec.isps.flatMap(({ stones }) => stones)).toHaveLength(3);
    const count = (role: string) =>
      spec.networks.filter((network) => network.role === role).flatMap(({ hosts }) => hosts).length;
    expect(['overlay', 'client', 'bot', 'admin'].map(count)).toEqual([8, 2, 3, 1]);
    expect(spec.links.primary.rateMbit).toBe(20);
    expect(spec.links.secondary.rateMbit).toBe(50);
  });

  it('has a comment above or beside every field', () => {
    const fields = text.split('\n').filter((line) => /^\s*(- )?[a-zA-Z]+:/.test(line)).length;
    expect(text.split('\n').filter((line) => line.includes('#')).length).toBeGreaterThan(fields / 3);
  });
});

describe('a faulty specification', () => {
  it.each([
    ['rateMbit: 20', 'rateMbit: fast', 'links.primary.rateMbit'],
    ['oneWayDelayMs: 4.75', 'oneWayDelayMs: -1', 'isps.1.oneWayDelayMs'],
    ['- name: b2', '- name: B2', 'isps.1.sites.1.name'],
    ['- name: b2', '- name: a1', 'isps.1.sites.1.name'],
    ['homeSite: a1', 'homeSite: z9', 'services.0.homeSite'],
    ['hosts: [admin]', 'hosts: [admin, admin-2]', 'networks'],
  ])('with %s made %s names line and field', (from, to, field) => {
    const { changed, line } = replaced(from, to);
    const error = faultsOf(changed);
    expect(error.code).toBe('LAB_SPEC_INVALID');
    expect(error.message).toContain(field);
    if (field !== 'networks') expect(error.message).toContain(`line ${line} `);
  });

  it('with a key that nobody knows is refused', () => {
    const { changed } = replaced('rateMbit: 20', 'rateMbit: 20, colour: red');
    expect(faultsOf(changed).message).toContain('colour');
  });

  it('that is no YAML names the line', () => {
    expect(faultsOf('name: default\nlinks: {').message).toMatch(/line 2/);
  });
});
