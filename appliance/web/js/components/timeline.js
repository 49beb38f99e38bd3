// The points of one machine on a line of time: where each is, what is held, proven or doubtful.
// Operated like a slider: arrow keys go from point to point, Home and End to the ends.

import { html, useEffect, useMemo, useRef, useState } from "../view.js";
import { moment, t, written } from "../i18n.js";
import { Icon } from "./icon.js";
import {
  RANGES,
  chooseWindow,
  gather,
  isImmutable,
  listTicks,
  momentAt,
  nearestIndex,
  placeOf,
} from "./timeline_scale.js";

const COLUMN_PX = 8;
const LANE_PX = 30;
const FLAGS_PX = 26;
const AXIS_PX = 24;
const FULL_COUNT = 24; // points in a column from which on its mark is as high as the lane
const FLAGS = { doubtful: "warn", proven: "good", held: "lock", immutable: "shield" }; // the first that applies is shown
const FLAG_PX = 15;
const STEP_OF_KEY = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -24, PageUp: 24 };

/** `points` oldest first; `places` are the lanes; `selected` is an index. */
export function Timeline({ points, places, selected, onSelect, label }) {
  const [range, setRange] = useState(RANGES.at(-1));
  const [frame, width_px] = useWidth();
  const times = useMemo(() => points.map((point) => Date.parse(point.time)), [points]);
  const chosen = times[selected] ?? times.at(-1);
  const window = chooseWindow(times[0], times.at(-1), range, chosen);
  const columns = useMemo(
    () => gather(points, times, window, width_px, COLUMN_PX),
    [points, window.from_ms, window.to_ms, width_px],
  );
  const choose = (index) => onSelect(Math.min(Math.max(index, 0), points.length - 1));
  const onKeyDown = (event) => {
    if (event.key in STEP_OF_KEY) choose(selected + STEP_OF_KEY[event.key]);
    else if (event.key === "Home") choose(0);
    else if (event.key === "End") choose(points.length - 1);
    else return;
    event.preventDefault();
  };
  const onPointer = (event) => {
    if (event.type === "pointermove" && !(event.buttons & 1)) return;
    const x_px = event.clientX - event.currentTarget.getBoundingClientRect().left;
    choose(nearestIndex(times, momentAt(window, width_px, x_px)));
  };
  return html`<div class="timeline">
    <${Ranges} range=${range} onChange=${setRange} times=${times} />
    <div class="timeline-body" style=${`--lane: ${LANE_PX}px; --flags: ${FLAGS_PX}px`}>
      <div class="timeline-names" aria-hidden="true">
        ${places.map((place) => html`<span>${nameOfPlace(place)}</span>`)}
      </div>
      <div
        class="timeline-frame"
        ref=${frame}
        role="slider"
        tabindex="0"
        aria-label=${label}
        aria-valuemin="1"
        aria-valuemax=${points.length}
        aria-valuenow=${selected + 1}
        aria-valuetext=${describePoint(points[selected])}
        onKeyDown=${onKeyDown}
        onPointerDown=${onPointer}
        onPointerMove=${onPointer}
      >
        <${Drawing} ...${{ columns, places, window, width_px, chosen }} />
      </div>
    </div>
    <${Legend} />
  </div>`;
}

/** A point in one sentence, as it is read aloud. */
export function describePoint(point) {
  if (!point) return "";
  const words = [moment(point.time), ...point.where.map(nameOfPlace)];
  if (point.is_held) words.push(t("timeline.held"));
  if (point.drilled_at) words.push(t("timeline.proven"));
  if (isImmutable(point)) words.push(t("point.immutable", { until: moment(point.immutable_until) }));
  if (point.is_doubtful) words.push(t("timeline.doubtful"));
  return words.join(", ");
}

/** `box`, or the vault's own name. */
export function nameOfPlace(place) {
  if (place === "box") return t("timeline.box");
  return t("timeline.vault", { name: place.replace(/^vault:/, "") });
}

function Ranges({ range, onChange, times }) {
  const span_ms = times.at(-1) - times[0];
  const useful = RANGES.filter(({ length_ms }) => length_ms === null || length_ms < span_ms);
  if (useful.length < 2) return null;
  return html`<div class="segments" role="group" aria-label=${t("timeline.range")}>
    ${useful.map(
      (one) => html`<button
        type="button"
        aria-pressed=${one === range}
        onClick=${() => onChange(one)}
      >
        ${t(`timeline.range.${one.name}`)}
      </button>`,
    )}
  </div>`;
}

function Drawing({ columns, places, window, width_px, chosen }) {
  const lanes_px = FLAGS_PX + places.length * LANE_PX;
  const x_px = placeOf(window, width_px, chosen);
  return html`<svg width=${width_px} height=${lanes_px + AXIS_PX} aria-hidden="true" focusable="false">
    ${places.map((_, lane) => {
      const y = FLAGS_PX + lane * LANE_PX;
      return html`<rect class="lane" x="0" y=${y + 2} width=${width_px} height=${LANE_PX - 4} rx="4" />`;
    })}
    ${listTicks(window, width_px).map(([at_ms, style]) => {
      const x = placeOf(window, width_px, at_ms);
      return html`<line class="tick" x1=${x} x2=${x} y1=${FLAGS_PX} y2=${lanes_px + 4} />
        <text class="tick-text" x=${x} y=${lanes_px + 17} text-anchor=${anchor(x, width_px)}>${written(at_ms, style)}</text>`;
    })}
    ${columns.map((column) => html`<${Column} ...${{ column, places }} />`)}
    ${chooseFlags(columns).map(([name, x]) => html`<${Flag} name=${name} x=${x} />`)}
    <g class="chosen" transform=${`translate(${x_px} 0)`}>
      <line y1=${FLAGS_PX - 4} y2=${lanes_px + 4} />
      <path d=${`M-6 ${FLAGS_PX - 12} h12 v5 l-6 6 l-6 -6 z`} />
    </g>
  </svg>`;
}

function anchor(x, width_px) {
  if (x < 30) return "start";
  return x > width_px - 30 ? "end" : "middle";
}

function Column({ column, places }) {
  return places.map((place, lane) => {
    const count = column.where.get(place);
    if (!count) return null;
    const share = Math.min(1, Math.log(count + 1) / Math.log(FULL_COUNT));
    const height = 8 + share * (LANE_PX - 16);
    const y = FLAGS_PX + lane * LANE_PX + (LANE_PX - height) / 2;
    const kind = place === "box" ? "on-box" : "in-vault";
    return html`<rect class=${`mark ${kind}`} x=${column.x_px - 3} y=${y} width="6" height=${height} rx="3" />`;
  });
}

/** What is to be known of columns, [name, x], as many as can stand side by side; worst first. */
function chooseFlags(columns) {
  const chosen = [];
  for (const name of Object.keys(FLAGS)) {
    for (const { marks, x_px: x } of columns) {
      if (marks.has(name) && chosen.every(([, other]) => Math.abs(other - x) >= FLAG_PX)) chosen.push([name, x]);
    }
  }
  return chosen;
}

function Flag({ name, x }) {
  return html`<g class=${`flag ${name}`} transform=${`translate(${x - 6} 1)`}>
    <${Icon} name=${FLAGS[name]} size="12" />
  </g>`;
}

function Legend() {
  return html`<ul class="timeline-legend">
    <li><span class="key on-box"></span>${t("timeline.legend.box")}</li>
    <li><span class="key in-vault"></span>${t("timeline.legend.vault")}</li>
    ${Object.entries(FLAGS).map(
      ([name, icon]) => html`<li class=${`flag ${name}`}>
        <${Icon} name=${icon} size="12" />${t(`timeline.${name}`)}
      </li>`,
    )}
  </ul>`;
}

function useWidth() {
  const frame = useRef(null);
  const [width_px, setWidth] = useState(640);
  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => setWidth(Math.floor(entry.contentRect.width)));
    observer.observe(frame.current);
    return () => observer.disconnect();
  }, []);
  return [frame, width_px];
}

