import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { release } from 'node:os';
import { join } from 'node:path';
import type { SiteFacts } from '../contract/preflight.ts';

/** Where a host keeps what its pods are made with. */
export interface SiteSoftware {
  imagesDir: string;
  criuHome: string;
  gatewayPath: string;
}

/** Reads what decides which pods can be woken on this host. Changes nothing. */
export async function readSiteFacts(software: SiteSoftware): Promise<SiteFacts> {
  const [cpuinfo, meminfo, gateway, criu, images] = await Promise.all([
    readFile('/proc/cpuinfo', 'latin1'),
    readFile('/proc/meminfo', 'latin1'),
    readFile(software.gatewayPath),
    readFile(join(software.criuHome, 'VERSION'), 'utf8').catch(() => null),
    imagesOf(software.imagesDir),
  ]);
  return {
    kernel: release(),
    processor: fieldOf(cpuinfo, 'model name'),
    features: fieldOf(cpuinfo, 'flags').split(' ').filter(Boolean).sort(),
    criu: criu?.trim() ?? null,
    gateway: createHash('sha256').update(gateway).digest('hex'),
    images,
    memoryAvailableBytes: Number.parseInt(fieldOf(meminfo, 'MemAvailable'), 10) * 1024,
  };
}

/** The base images that are here, each with the recipe that it was made from. */
async function imagesOf(directory: string): Promise<Record<string, string>> {
  const names = (await readdir(directory)).filter((name) => !name.startsWith('.'));
  const recipes = await Promise.all(
    names.map((name) => readFile(join(directory, `.${name}.recipe`), 'utf8').catch(() => '')),
  );
  return Object.fromEntries(names.map((name, index) => [name, (recipes[index] ?? '').trim()]));
}

/** The first value of a field in one of the kernel's lists of `name : value` lines; empty when it has none. */
function fieldOf(text: string, name: string): string {
  const line = text.split('\n').find((each) => each.split(':', 1)[0]?.trim() === name);
  return line?.slice(line.indexOf(':') + 1).trim() ?? '';
}
