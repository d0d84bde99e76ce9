/** Figures and times for people: units always, tabular digits, the user's zone. */

/** 7 ms, 0.41 s, 12.4 s, 3 min 5 s. */
export function duration(ms: number): string {
  if (ms < 9.95 && ms >= 0.05) return `${ms.toFixed(1).replace('.0', '')} ms`;
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(ms < 10_000 ? 2 : 1)} s`;
  const seconds = Math.round(ms / 1_000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** An outage: seconds with two digits, split into the figure and its unit. */
export function seconds(ms: number): { figure: string; unit: string } {
  return { figure: (ms / 1_000).toFixed(2), unit: 's' };
}

/** A latency, split: whole milliseconds from 10 ms on, one digit below, seconds from 1 s on. */
export function latency(ms: number): { figure: string; unit: string } {
  if (ms >= 999.5) return { figure: (ms / 1_000).toFixed(ms < 9_995 ? 2 : 1), unit: 's' };
  return { figure: ms < 10 ? ms.toFixed(1) : String(Math.round(ms)), unit: 'ms' };
}

/** A running clock: 0:04, 12:31, 1:02:03. */
export function clock(ms: number): string {
  const total = Math.max(0, Math.floor(ms / 1_000));
  const s = String(total % 60).padStart(2, '0');
  const m = Math.floor(total / 60) % 60;
  const h = Math.floor(total / 3_600);
  return h > 0 ? `${h}:${String(m).padStart(2, '0')}:${s}` : `${m}:${s}`;
}

/** 999 B, 1.5 MB (decimal units). */
export function bytes(count: number): string {
  if (count < 1_000) return `${Math.round(count)} B`;
  for (const [unit, size] of [
    ['kB', 1e3],
    ['MB', 1e6],
    ['GB', 1e9],
  ] as const)
    if (count < size * 1_000) return `${(count / size).toFixed(count / size < 10 ? 1 : 0)} ${unit}`;
  return `${(count / 1e12).toFixed(1)} TB`;
}

/** 0.4 Mbit/s, 61 Mbit/s. */
export function mbit(value: number): string {
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} Mbit/s`;
}

const timeFormat = new Intl.DateTimeFormat(undefined, {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  hourCycle: 'h23',
});
const dayFormat = new Intl.DateTimeFormat(undefined, { year: 'numeric', month: 'short', day: 'numeric' });

/** 14:02:07 in the user's zone. */
export function time(at: number): string {
  return timeFormat.format(at);
}

/** 14:02:07.412 in the user's zone. */
export function timeWithMs(at: number): string {
  return `${timeFormat.format(at)}.${String(Math.floor(at) % 1_000).padStart(3, '0')}`;
}

/** 3 Aug 2026, in the user's way of writing it. */
export function day(at: number): string {
  return dayFormat.format(at);
}

/** A span until or since, coarse: 12 s, 5 min, 3 h, 29 days. */
export function span(ms: number): string {
  const s = Math.abs(ms) / 1_000;
  if (s < 90) return `${Math.round(s)} s`;
  if (s < 90 * 60) return `${Math.round(s / 60)} min`;
  if (s < 36 * 3_600) return `${Math.round(s / 3_600)} h`;
  return `${Math.round(s / 86_400)} days`;
}

/** The name by which people call a host: sites B1, stones stone B, the rest as they are. */
export function place(id: string): string {
  if (/^[a-z]{1,2}\d{1,2}$/.test(id)) return id.toUpperCase();
  const stone = /^stone-([a-z]{1,2})$/.exec(id);
  return stone ? `stone ${stone[1]!.toUpperCase()}` : id;
}

/** A sentence of core's with its hosts named as everywhere in the window; `known` says which words are hosts. */
export function withPlaces(sentence: string, known: Readonly<Record<string, unknown>>): string {
  return sentence.replace(/(?<![\w.-])[a-z]{1,2}\d{1,2}(?![\w-])/g, (word) =>
    Object.hasOwn(known, word) ? place(word) : word,
  );
}

/** One of something, several of it. */
export function count(number: number, one: string, many: string): string {
  return `${number} ${number === 1 ? one : many}`;
}
