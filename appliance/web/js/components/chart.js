// A line graph: uPlot in the page's colours, and the same numbers as a table for those who cannot
// see it. Loads uPlot only when a graph is shown.

import { html, useEffect, useRef } from "../view.js";
import { language, moment, t, written } from "../i18n.js";
import { useStore } from "../store.js";
import { theme } from "../theme.js";
import { addStyle } from "./style.js";

const HEIGHT_PX = 200;
const ROWS_MAX = 60;
const DAY_S = 86_400;
const WEEK_S = 7 * DAY_S;
const POINTS_MAX = 40; // more values than these are a line without dots
const COLORS = ["--series-1", "--series-2", "--series-3", "--series-4"];

/**
 * `times_s` since the epoch, `series` [{label, values}], null where nothing was measured; `write`
 * makes text of a value; `steps` are the distances that lines of the grid may have.
 */
export function Chart({ label, times_s, series, write, kind = "line", height_px = HEIGHT_PX, steps }) {
  const place = useRef(null);
  const looks = [useStore(language), useStore(theme)];
  useEffect(() => {
    let plot = null;
    let isGone = false;
    const observer = new ResizeObserver(([entry]) => {
      plot?.setSize({ width: Math.floor(entry.contentRect.width), height: height_px });
    });
    const arrived = [import("../../vendor/uplot.js"), addStyle("../../vendor/uplot.css", import.meta.url)];
    Promise.all(arrived).then(([{ default: UPlot }]) => {
      if (isGone) return;
      const options = describe(UPlot, place.current, { times_s, series, write, kind, height_px, steps });
      plot = new UPlot(options, [times_s, ...series.map((one) => one.values)], place.current);
      observer.observe(place.current);
    });
    return () => {
      isGone = true;
      observer.disconnect();
      plot?.destroy();
    };
  }, [JSON.stringify([times_s, series]), ...looks]);
  return html`<figure class="chart">
    <figcaption>${label}</figcaption>
    <div ref=${place} class="chart-place" style=${`min-height: ${height_px}px`} aria-hidden="true"></div>
    <${Numbers} ...${{ times_s, series, write, label }} />
  </figure>`;
}

function describe(UPlot, place, { times_s, series, write, kind, height_px, steps }) {
  const style = getComputedStyle(place);
  // uPlot draws on a canvas, which knows no variables and no light-dark().
  const color = (name) => {
    place.style.color = `var(${name})`;
    return style.color;
  };
  const axis = {
    stroke: color("--muted"),
    grid: { stroke: color("--line"), width: 1 },
    ticks: { stroke: color("--line"), width: 1 },
    font: `12px ${style.fontFamily}`,
  };
  const lines = series.map((one, number) => ({ ...one, stroke: color(COLORS[number % COLORS.length]) }));
  place.style.color = "";
  return {
    width: place.clientWidth,
    height: height_px,
    legend: { show: series.length > 1 },
    cursor: { y: false },
    scales: { x: { range: widen(times_s[0], times_s.at(-1), kind) }, y: { range: (_, low, high) => [Math.min(0, low), high > 0 ? high * 1.1 : 1] } },
    axes: [
      { ...axis, values: (_, splits) => writeTimes(splits) },
      { ...axis, size: 72, values: (_, splits) => splits.map(write), ...(steps && { incrs: steps }) },
    ],
    series: [
      { label: t("chart.time"), value: (_, seconds) => (seconds === null ? "" : moment(seconds * 1000)) },
      ...lines.map((one) => {
        const paths = kind === "bars" ? UPlot.paths.bars({ size: [0.6, 48] }) : undefined;
        return {
          label: one.label,
          stroke: one.stroke,
          width: kind === "bars" ? 0 : 2,
          fill: kind === "bars" ? one.stroke : undefined,
          paths,
          points: { show: kind !== "bars" && one.values.length <= POINTS_MAX, size: 6 },
          spanGaps: true,
          value: (_, value) => (value === null ? "" : write(value)),
        };
      }),
    ],
  };
}

/** One value alone would be drawn on a line of years; bars want room at both ends. */
function widen(first, last, kind) {
  const isBars = kind === "bars";
  const missing_s = Math.max(0, (isBars ? WEEK_S : first === last ? DAY_S : 0) - (last - first));
  return [first - missing_s - (isBars ? DAY_S : 0), last + (isBars ? DAY_S : missing_s / 10)];
}

function writeTimes(splits) {
  const step_s = splits.length > 1 ? splits[1] - splits[0] : 0;
  const style =
    step_s >= 86_400 ? { day: "numeric", month: "short" } : { hour: "2-digit", minute: "2-digit" };
  return splits.map((seconds) => written(seconds * 1000, style));
}

function Numbers({ times_s, series, write, label }) {
  const rows = times_s.map((_, index) => times_s.length - 1 - index).slice(0, ROWS_MAX);
  return html`<details class="chart-numbers">
    <summary>${t("chart.numbers")}</summary>
    <div class="scroll" tabindex="0" role="region" aria-label=${label}>
      <table class="table">
        <thead>
          <tr>
            <th scope="col">${t("chart.time")}</th>
            ${series.map((one) => html`<th scope="col" class="is-number">${one.label}</th>`)}
          </tr>
        </thead>
        <tbody>
          ${rows.map(
            (row) => html`<tr>
              <td>${moment(times_s[row] * 1000)}</td>
              ${series.map(
                ({ values }) =>
                  html`<td class="is-number">${values[row] === null ? "–" : write(values[row])}</td>`,
              )}
            </tr>`,
          )}
        </tbody>
      </table>
    </div>
  </details>`;
}
