// What went over the line to a vault: by day, the last day by the minute, and while it sends,
// second by second.

import { html, useEffect, useRef, useState } from "../view.js";
import { number, rate, size, t } from "../i18n.js";
import { at } from "../api.js";
import { listen } from "../events.js";
import { useResource } from "../resource.js";
import { Chart } from "./chart.js";

const STEPS_BYTES = Array.from({ length: 60 }, (_, power) => 2 ** power);
const KEPT = 300; // moments of the live graph

export function LineGraph({ vault }) {
  const live = useLive();
  const past = useResource(at`/vaults/${vault.name}/line`, { on: ["box"] }).data?.items ?? [];
  const days = Object.keys(vault.traffic).sort();
  if (!days.length && !live.times_s.length) return html`<p class="muted">${t("vault.no_traffic")}</p>`;
  const column = (name) => days.map((day) => vault.traffic[day][name] ?? 0);
  return html`${live.times_s.length > 1 && html`<${Chart} label=${t("vault.live")} times_s=${live.times_s}
      series=${[{ label: t("vault.rate"), values: live.rates }]} write=${rate} steps=${STEPS_BYTES} height_px=${160} />`}
    ${past.some((one) => one.bytes_per_s > 0) && html`<${Past} rates=${past} />`}
    ${days.length > 0 && html`<${Chart} kind="bars" label=${t("vault.by_day")} write=${size} steps=${STEPS_BYTES}
      times_s=${days.map((day) => Date.parse(`${day}T00:00:00Z`) / 1000)}
      series=${[{ label: t("vault.sent"), values: column("sent_bytes") }]} />
      <p class="note">${t("vault.requests", { requests: requestsOf(vault.traffic[days.at(-1)]) })}</p>`}`;
}

/** A rate holds until the next one: drawn in steps, up to now. */
function Past({ rates }) {
  const steps = rates.flatMap(({ time, bytes_per_s: rate_now }, index) => {
    const until = index + 1 < rates.length ? Date.parse(rates[index + 1].time) : Date.now();
    return [[Date.parse(time) / 1000, rate_now], [Math.max(Date.parse(time), until - 1) / 1000, rate_now]];
  });
  return html`<${Chart} label=${t("vault.last_day")} times_s=${steps.map(([time_s]) => time_s)} write=${rate}
    series=${[{ label: t("vault.rate"), values: steps.map(([, value]) => value) }]} steps=${STEPS_BYTES} height_px=${160} />`;
}

function requestsOf(sums) {
  const found = Object.entries(sums.requests ?? {}).map(([kind, count]) => `${number(count)} ${kind}`);
  return found.join(", ") || "0";
}

/** Rates of the syncs that run while the page is open. */
function useLive() {
  const [live, setLive] = useState({ times_s: [], rates: [] });
  const last = useRef(0);
  useEffect(
    () =>
      listen((kind, job) => {
        const now_s = Math.floor(Date.now() / 1000);
        if (kind !== "job" || job?.verb !== "vault sync" || now_s <= last.current) return;
        last.current = now_s;
        const value = job.state === "running" ? job.rate_per_s : 0;
        setLive((old) => ({
          times_s: [...old.times_s, now_s].slice(-KEPT),
          rates: [...old.rates, value].slice(-KEPT),
        }));
      }),
    [],
  );
  return live;
}
