import { useLayoutEffect, useRef, useState } from 'react';
import { type LatencySample, telemetryWindowMs, useTelemetry } from '../store/telemetry-store.ts';
import { text } from '../text.ts';

const ticks = [1, 10, 100, 1_000, 5_000];
const lowest = 1;
const highest = 6_000;
const gapMs = 2_500;

interface Box {
  width: number;
  height: number;
}

function useSize(): [React.RefObject<HTMLDivElement | null>, Box] {
  const element = useRef<HTMLDivElement>(null);
  const [box, setBox] = useState<Box>({ width: 320, height: 120 });
  useLayoutEffect(() => {
    const observer = new ResizeObserver(([entry]) => {
      if (entry) setBox({ width: entry.contentRect.width, height: entry.contentRect.height });
    });
    observer.observe(element.current!);
    return () => observer.disconnect();
  }, []);
  return [element, box];
}

/**
 * Direct against overlay over the last 120 s on a logarithmic scale: the median as a line, filled up to
 * the 95th percentile; probes that failed as marks at the top edge.
 */
export function LatencyChart({ service, mini = false }: { service: string; mini?: boolean }) {
  const telemetry = useTelemetry();
  const [element, box] = useSize();
  const newest = telemetry.newestAt() ?? 0;
  const left = 34;
  const right = 56;
  const top = mini ? 8 : 16;
  const bottom = mini ? 4 : 24;
  const x = (at: number) =>
    left + (1 - (newest - at) / telemetryWindowMs) * Math.max(1, box.width - left - right);
  const y = (ms: number) => {
    const bounded = Math.min(highest, Math.max(lowest, ms));
    const share = Math.log(bounded / lowest) / Math.log(highest / lowest);
    return top + (1 - share) * (box.height - top - bottom);
  };
  const series = (['direct', 'overlay'] as const).map((path) => ({
    path,
    samples: telemetry.latency(service, path),
  }));
  const ends = labelHeights(series, mini ? 'p95Ms' : 'p50Ms', y, top, box.height - bottom);
  return (
    <div className={mini ? 'chart mini' : 'chart'} ref={element}>
      <svg width={box.width} height={box.height} role="img" aria-label={text.latency.chart(service)}>
        {ticks.map((tick) => (
          <g key={tick} className="chart-tick">
            <line x1={left} x2={box.width - right} y1={y(tick)} y2={y(tick)} />
            {(!mini || tick !== 5_000) && (
              <text x={left - 6} y={y(tick) + 4} textAnchor="end">
                {tick >= 1_000 ? `${tick / 1_000} s` : tick === 1 ? '1 ms' : tick}
              </text>
            )}
          </g>
        ))}
        {!mini &&
          [120, 90, 60, 30, 0].map((ago) => (
            <text
              key={ago}
              className="chart-time"
              x={x(newest - ago * 1_000)}
              y={box.height - 6}
              textAnchor={ago === 120 ? 'start' : 'middle'}
            >
              {text.latency.secondsAgo(ago)}
            </text>
          ))}
        {series.map(({ path, samples }) => (
          <g key={path} className={`chart-series ${path}`}>
            {!mini && <path className="chart-band" d={band(samples, x, y)} />}
            <path className="chart-line" d={line(samples, x, y, mini ? 'p95Ms' : 'p50Ms')} />
            {samples
              .filter((sample) => sample.failures > 0)
              .map((sample) => (
                <path
                  key={sample.at}
                  className="chart-failure"
                  d={`M ${x(sample.at) - 3} ${top - 3} l 6 6 m 0 -6 l -6 6`}
                />
              ))}
            {samples.length > 0 && (
              <text className="chart-name" x={box.width - right + 8} y={ends[path] + 4}>
                {text.latency[path]}
              </text>
            )}
          </g>
        ))}
      </svg>
    </div>
  );
}

type Scale = (value: number) => number;

/** Where the names of the two lines stand, kept at least one line of text apart. */
function labelHeights(
  series: readonly { path: 'direct' | 'overlay'; samples: readonly LatencySample[] }[],
  figure: 'p50Ms' | 'p95Ms',
  y: Scale,
  top: number,
  bottom: number,
): Record<'direct' | 'overlay', number> {
  const heights = { direct: bottom, overlay: bottom };
  for (const { path, samples } of series) {
    const last = samples.at(-1);
    heights[path] = last ? y(last[figure] ?? highest) : bottom;
  }
  const apart = 16;
  if (Math.abs(heights.direct - heights.overlay) < apart) {
    const upper = heights.direct <= heights.overlay ? 'direct' : 'overlay';
    const lower = upper === 'direct' ? 'overlay' : 'direct';
    const middle = (heights.direct + heights.overlay) / 2;
    heights[upper] = Math.max(top, middle - apart / 2);
    heights[lower] = Math.min(bottom, heights[upper] + apart);
  }
  return heights;
}

/** A line of one figure; it breaks where nothing was measured. */
function line(samples: readonly LatencySample[], x: Scale, y: Scale, figure: 'p50Ms' | 'p95Ms'): string {
  let path = '';
  let last: number | null = null;
  for (const sample of samples) {
    const value = sample[figure];
    if (value === null) {
      last = null;
      continue;
    }
    path += `${last !== null && sample.at - last < gapMs ? 'L' : 'M'}${x(sample.at).toFixed(1)} ${y(value).toFixed(1)}`;
    last = sample.at;
  }
  return path;
}

function band(samples: readonly LatencySample[], x: Scale, y: Scale): string {
  let path = '';
  let run: LatencySample[] = [];
  const flush = () => {
    if (run.length > 1) {
      const upper = run.map((sample) => `${x(sample.at).toFixed(1)} ${y(sample.p95Ms!).toFixed(1)}`);
      const lower = run
        .map((sample) => `${x(sample.at).toFixed(1)} ${y(sample.p50Ms!).toFixed(1)}`)
        .reverse();
      path += `M${upper.join('L')}L${lower.join('L')}Z`;
    }
    run = [];
  };
  for (const sample of samples) {
    const before = run.at(-1);
    if (sample.p50Ms === null || sample.p95Ms === null) flush();
    else {
      if (before && sample.at - before.at >= gapMs) flush();
      run.push(sample);
    }
  }
  flush();
  return path;
}
