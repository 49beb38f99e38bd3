// Drills: what was rehearsed, how long recovery really took, and whether it becomes slower.

import { html, useState } from "../view.js";
import { duration, moment, t } from "../i18n.js";
import { usePages, useResource } from "../resource.js";
import { href } from "../router.js";
import { Action } from "../components/action.js";
import { Chart } from "../components/chart.js";
import { Consequences } from "../components/consequences.js";
import { SelectField } from "../components/form.js";
import { useOrder } from "../components/order.js";
import { Card, Page } from "../components/page.js";
import { State } from "../components/state.js";
import { Table } from "../components/table.js";
import { Empty, Loading } from "../components/trouble.js";

const SERIES_MAX = 4;
const SHOWN = 50;
const STEPS_S = [1, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14_400, 43_200, 86_400];

export default function Drills() {
  const drills = useResource("/drills", { on: ["box", "job"] });
  const items = drills.data?.items ?? [];
  return html`<${Page} title=${t("drills.title")} lead=${t("drills.lead")}>
    <${RunDrill} onEnd=${drills.reload} />
    <${Loading} resource=${drills}>
      ${items.length === 0
        ? html`<${Empty} icon="drills" title=${t("drills.none")}><p>${t("drills.none_text")}</p><//>`
        : html`<${Trend} drills=${items} /><${List} drills=${items} />`}
    <//>
  <//>`;
}

function RunDrill({ onEnd }) {
  const machines = (usePages("/machines", { limit: 200, on: ["machine"] }).items ?? []).filter((one) => one.points > 0);
  const form = useOrder({ what: "" });
  if (!machines.length) return null;
  const what = form.values.what || machines[0].name;
  return html`<${Card} title=${t("drills.run")}>
    <div class="form">
      <${SelectField} form=${{ ...form, values: { what } }} name="what" label=${t("machines.name")}
        options=${machines.map((one) => [one.name, one.name])} />
      <${Consequences} items=${[t("drills.will_boot", { machine: what }), t("drills.will_check"), t("drills.will_remove")]} />
      <${Action} verb="drill run" values=${{ what }} label=${t("drills.start")} icon="play" onEnd=${onEnd} key=${what} />
    </div>
  <//>`;
}

/** Measured recovery time of each machine over the drills. */
function Trend({ drills }) {
  const [only, setOnly] = useState("");
  const names = namesOf(drills);
  const shown = only ? [only] : names.slice(0, SERIES_MAX);
  const rto = (drill, name) => drill.machines.find((one) => one.name === name)?.rto_s ?? null;
  const of = drills.filter((drill) => shown.some((name) => rto(drill, name) !== null));
  if (!of.length) return null;
  return html`<${Card} title=${t("drills.trend")} action=${names.length > 1 && html`<label class="row">
      <span class="note">${t("machines.name")}</span>
      <select value=${only} onChange=${(event) => setOnly(event.currentTarget.value)}>
        <option value="">${t("drills.all")}</option>
        ${names.map((name) => html`<option value=${name} selected=${name === only}>${name}</option>`)}
      </select></label>`}>
    <${Chart} label=${t("drills.trend_text")} steps=${STEPS_S} write=${(value) => (value === null ? "" : duration(value))}
      times_s=${of.map((drill) => Date.parse(drill.began) / 1000)}
      series=${shown.map((name) => ({ label: name, values: of.map((drill) => rto(drill, name)) }))} />
  <//>`;
}

/** Machines, those drilled most often first. */
function namesOf(drills) {
  const counts = new Map();
  for (const one of drills.flatMap((drill) => drill.machines)) counts.set(one.name, (counts.get(one.name) ?? 0) + 1);
  return [...counts].sort((one, other) => other[1] - one[1]).map(([name]) => name);
}

function List({ drills }) {
  const columns = [
    { key: "began", label: t("drills.began"), isHead: true, cell: (drill) => moment(drill.began) },
    { key: "verdict", label: t("drills.verdict"), cell: (drill) => html`<${State} name=${drill.verdict} />` },
    { key: "machines", label: t("drills.machines"), cell: (drill) => drill.machines.map((one) => one.name).join(", ") },
    { key: "rto", label: t("drills.rto"), isNumber: true, cell: (drill) => duration(drill.rto_s) },
    { key: "rpo", label: t("drills.rpo"), isNumber: true, cell: (drill) => duration(Math.max(...drill.machines.map((one) => one.rpo_s))) },
  ];
  return html`<${Card} title=${t("drills.list")}>
    <${Table} caption=${t("drills.list")} columns=${columns} rows=${[...drills].reverse().slice(0, SHOWN)}
      href=${(drill) => href("/drills", drill.id)} />
  <//>`;
}
