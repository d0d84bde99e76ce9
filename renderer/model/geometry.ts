/** Plane geometry of the map: ellipses around the ring, in map units, y pointing down, angles in degrees. */
export interface Point {
  x: number;
  y: number;
}

export const outerEdge = { rx: 548, ry: 372 };
export const innerEdge = { rx: 306, ry: 214 };
export const ringRadius = 130;
/** What has to be seen when the whole map is fitted. */
export const mapBounds = { x: -568, y: -484, width: 1136, height: 950 };

const radians = (degrees: number) => (degrees * Math.PI) / 180;

/** A point between the inner (0) and the outer (1) edge of the sectors; less than 0 is the moat. */
export function between(angle: number, depth: number): Point {
  const rx = innerEdge.rx + depth * (outerEdge.rx - innerEdge.rx);
  const ry = innerEdge.ry + depth * (outerEdge.ry - innerEdge.ry);
  return { x: rx * Math.cos(radians(angle)), y: ry * Math.sin(radians(angle)) };
}

export function onRing(angle: number, radius = ringRadius): Point {
  return { x: radius * Math.cos(radians(angle)), y: radius * Math.sin(radians(angle)) };
}

/** The angle under which a point is seen on the sectors' ellipse. */
export function angleOf(point: Point): number {
  return (Math.atan2(point.y / outerEdge.ry, point.x / outerEdge.rx) * 180) / Math.PI;
}

/** The signed shorter way from one angle to another, -180 to 180. */
export function turn(from: number, to: number): number {
  return ((((to - from) % 360) + 540) % 360) - 180;
}

const f = (value: number) => value.toFixed(1);

/** The outline of an ISP's sector. */
export function sectorPath(from: number, to: number): string {
  const large = to - from > 180 ? 1 : 0;
  const a = between(from, 1);
  const b = between(to, 1);
  const c = between(to, 0);
  const d = between(from, 0);
  if (to - from >= 359.9) {
    const o = outerEdge;
    const i = innerEdge;
    return `M ${-o.rx} 0 A ${o.rx} ${o.ry} 0 1 1 ${o.rx} 0 A ${o.rx} ${o.ry} 0 1 1 ${-o.rx} 0 Z M ${-i.rx} 0 A ${i.rx} ${i.ry} 0 1 0 ${i.rx} 0 A ${i.rx} ${i.ry} 0 1 0 ${-i.rx} 0 Z`;
  }
  return `M ${f(a.x)} ${f(a.y)} A ${outerEdge.rx} ${outerEdge.ry} 0 ${large} 1 ${f(b.x)} ${f(b.y)} L ${f(c.x)} ${f(c.y)} A ${innerEdge.rx} ${innerEdge.ry} 0 ${large} 0 ${f(d.x)} ${f(d.y)} Z`;
}

/** A smooth line through points (Catmull-Rom as cubic curves). */
export function through(points: readonly Point[]): string {
  const first = points[0];
  if (!first) return '';
  let path = `M ${f(first.x)} ${f(first.y)}`;
  for (let i = 0; i < points.length - 1; i += 1) {
    const before = points[i - 1] ?? points[i]!;
    const a = points[i]!;
    const b = points[i + 1]!;
    const after = points[i + 2] ?? b;
    path += ` C ${f(a.x + (b.x - before.x) / 6)} ${f(a.y + (b.y - before.y) / 6)} ${f(b.x - (after.x - a.x) / 6)} ${f(b.y - (after.y - a.y) / 6)} ${f(b.x)} ${f(b.y)}`;
  }
  return path;
}

/** Points along the moat (or, with a depth above 1, outside) on the shorter way between two angles, ends left out. */
export function around(from: number, to: number, depth: number, stepDegrees = 22): Point[] {
  const way = turn(from, to);
  const steps = Math.floor(Math.abs(way) / stepDegrees);
  return Array.from({ length: Math.max(0, steps - 1) }, (_, i) =>
    between(from + (way * (i + 1)) / steps, depth),
  );
}

/** A chord inside the ring that keeps clear of the words in the middle. */
export function chord(a: Point, b: Point, clear = 84): string {
  const middle = { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 };
  const distance = Math.hypot(middle.x, middle.y);
  const wanted = Math.max(distance, clear);
  const along = Math.hypot(b.x - a.x, b.y - a.y) || 1;
  const side =
    distance > 6
      ? { x: middle.x / distance, y: middle.y / distance }
      : { x: (b.y - a.y) / along, y: -(b.x - a.x) / along };
  const control = {
    x: side.x * (2 * wanted - distance),
    y: side.y * (2 * wanted - distance),
  };
  return `M ${f(a.x)} ${f(a.y)} Q ${f(control.x)} ${f(control.y)} ${f(b.x)} ${f(b.y)}`;
}

/** The same small number for the same text, 0 to 1: spreads lines without chance. */
export function spread(text: string): number {
  let hash = 2_166_136_261;
  for (const character of text) hash = Math.imul(hash ^ character.charCodeAt(0), 16_777_619);
  return ((hash >>> 0) % 10_007) / 10_007;
}
