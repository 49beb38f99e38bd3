// Where a moment lies on a line of so many pixels, and what stands below it. Pure: no page, no state.

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

// What can be shown at once; null is everything there is.
export const RANGES = [
  { name: "day", length_ms: DAY_MS },
  { name: "week", length_ms: 7 * DAY_MS },
  { name: "month", length_ms: 31 * DAY_MS },
  { name: "year", length_ms: 366 * DAY_MS },
  { name: "all", length_ms: null },
];

// Distances between two ticks, and how the moment of one is written.
const STEPS = [
  [5 * MINUTE_MS, { hour: "2-digit", minute: "2-digit" }],
  [30 * MINUTE_MS, { hour: "2-digit", minute: "2-digit" }],
  [HOUR_MS, { hour: "2-digit", minute: "2-digit" }],
  [3 * HOUR_MS, { hour: "2-digit", minute: "2-digit" }],
  [6 * HOUR_MS, { weekday: "short", hour: "2-digit", minute: "2-digit" }],
  [DAY_MS, { weekday: "short", day: "numeric" }],
  [7 * DAY_MS, { day: "numeric", month: "short" }],
  [31 * DAY_MS, { month: "short", year: "numeric" }],
  [92 * DAY_MS, { month: "short", year: "numeric" }],
  [366 * DAY_MS, { year: "numeric" }],
];
const TICK_PX = 92;

/** The piece of time that is shown: `range` long, and such that `around_ms` is in it. */
export function chooseWindow(first_ms, last_ms, range, around_ms) {
  const whole = Math.max(last_ms - first_ms, HOUR_MS);
  const length = range.length_ms === null ? whole : Math.min(range.length_ms, whole);
  const margin = length * 0.03;
  let end = last_ms;
  if (around_ms < end - length) end = Math.max(around_ms + length / 2, first_ms + length);
  return { from_ms: Math.min(end, last_ms) - length - margin, to_ms: Math.min(end, last_ms) + margin };
}

/** Pixels of a moment. */
export function placeOf(window, width_px, moment_ms) {
  return ((moment_ms - window.from_ms) / (window.to_ms - window.from_ms)) * width_px;
}

/** The moment at a pixel. */
export function momentAt(window, width_px, x_px) {
  return window.from_ms + (x_px / Math.max(width_px, 1)) * (window.to_ms - window.from_ms);
}

/** Ticks of the window, far enough from each other to be read: [moment, how it is written]. */
export function listTicks(window, width_px) {
  const length = window.to_ms - window.from_ms;
  const least = (length * TICK_PX) / Math.max(width_px, TICK_PX);
  const [step_ms, style] = STEPS.find(([step]) => step >= least) ?? STEPS.at(-1);
  const zone_ms = new Date(window.from_ms).getTimezoneOffset() * MINUTE_MS;
  const ticks = [];
  let moment = Math.ceil((window.from_ms - zone_ms) / step_ms) * step_ms + zone_ms;
  for (; moment < window.to_ms; moment += step_ms) ticks.push([moment, style]);
  return ticks;
}

/** The index of the point nearest to a moment; `times` is sorted. */
export function nearestIndex(times, moment_ms) {
  let low = 0;
  let high = times.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] < moment_ms) low = middle + 1;
    else high = middle;
  }
  if (low > 0 && moment_ms - times[low - 1] < times[low] - moment_ms) return low - 1;
  return low;
}

/** Points gathered into columns of `column_px`: thousands of points draw a few hundred marks. */
export function gather(points, times, window, width_px, column_px) {
  const columns = new Map();
  for (let index = 0; index < points.length; index += 1) {
    if (times[index] < window.from_ms || times[index] > window.to_ms) continue;
    const column = Math.floor(placeOf(window, width_px, times[index]) / column_px);
    let found = columns.get(column);
    if (!found) {
      found = { x_px: (column + 0.5) * column_px, count: 0, where: new Map(), marks: new Set() };
      columns.set(column, found);
    }
    const point = points[index];
    found.count += 1;
    for (const place of point.where) found.where.set(place, (found.where.get(place) ?? 0) + 1);
    if (point.is_held) found.marks.add("held");
    if (point.drilled_at) found.marks.add("proven");
    if (isImmutable(point)) found.marks.add("immutable");
    if (isDoubtful(point)) found.marks.add("doubtful");
  }
  return [...columns.values()];
}

/** Whether a vault has it and lets nobody delete it yet. */
export function isImmutable(point) {
  return Boolean(point.immutable_until) && Date.parse(point.immutable_until) > Date.now();
}

/** Whether a person should not lean on this point without looking. */
export function isDoubtful(point) {
  return Boolean(point.is_doubtful) || (point.state !== undefined && point.state !== "complete");
}
