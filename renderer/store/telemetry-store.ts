import { useSyncExternalStore } from 'react';
import type { Telemetry } from '../../core/contract/telemetry.ts';

/** How much of the past the charts show. */
export const telemetryWindowMs = 120_000;
const mostSamples = 600;
const drawEveryMs = 450;

/** One sampled figure of one path of one service. */
export interface LatencySample {
  at: number;
  p50Ms: number | null;
  p95Ms: number | null;
  maximumMs: number | null;
  count: number;
  failures: number;
  waiting: number;
}

/**
 * The last 120 s of telemetry, outside React: messages are appended to a bounded buffer, and whoever draws
 * is told at most about twice a second.
 */
export class TelemetryBuffer {
  #samples: Telemetry[] = [];
  #listeners = new Set<() => void>();
  #version = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  add(sample: Telemetry): void {
    this.#samples.push(sample);
    const oldest = sample.at - telemetryWindowMs;
    let drop = Math.max(0, this.#samples.length - mostSamples);
    while (drop < this.#samples.length && this.#samples[drop]!.at < oldest) drop += 1;
    if (drop > 0) this.#samples.splice(0, drop);
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#version += 1;
      for (const listener of this.#listeners) listener();
    }, drawEveryMs);
  }

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  version = (): number => this.#version;

  newestAt(): number | null {
    return this.#samples.at(-1)?.at ?? null;
  }

  /** The newest figures of a link, if they are younger than 3 s compared with the newest sample. */
  link(host: string, link: 'primary' | 'secondary'): Telemetry['links'][number] | null {
    const newest = this.newestAt();
    for (let index = this.#samples.length - 1; index >= 0; index -= 1) {
      const sample = this.#samples[index]!;
      if (newest !== null && sample.at < newest - 3_000) return null;
      const found = sample.links.find((entry) => entry.host === host && entry.link === link);
      if (found) return found;
    }
    return null;
  }

  /** Services that have been probed in the window, in the order in which they came up. */
  services(): string[] {
    const seen = new Set<string>();
    for (const sample of this.#samples) for (const entry of sample.latency) seen.add(entry.service);
    return [...seen];
  }

  latency(service: string, path: 'overlay' | 'direct'): LatencySample[] {
    const out: LatencySample[] = [];
    for (const sample of this.#samples) {
      const entry = sample.latency.find((one) => one.service === service && one.path === path);
      if (entry) out.push({ at: sample.at, ...entry });
    }
    return out;
  }
}

export const telemetry = new TelemetryBuffer();

/** Re-renders the caller when new telemetry may be drawn (about twice a second). */
export function useTelemetry(): TelemetryBuffer {
  useSyncExternalStore(telemetry.subscribe, telemetry.version);
  return telemetry;
}
