// One bay: what sits there, how it is, what is at stake, its trends, its light, its replacement.

import { html, useState } from "../view.js";
import { day, number, size, t } from "../i18n.js";
import { at } from "../api.js";
import { useResource } from "../resource.js";
import { Action } from "./action.js";
import { Button } from "./button.js";
import { Chart } from "./chart.js";
import { verdictOf } from "./chassis.js";
import { describeFinding } from "./finding_words.js";
import { Card } from "./page.js";
import { ReplaceDisk } from "./replace_disk.js";
import { State } from "./state.js";
import { Loading, Notice } from "./trouble.js";

// Which measures are drawn, in which order.
const TRENDS = ["reallocated", "pending", "uncorrectable", "media-errors", "grown-defects", "reported-errors",
  "link-errors", "used", "spare", "temperature"];
const STATES = { good: "good", notice: "info", warning: "warning", critical: "critical", empty: "unknown" };
const TONES = { critical: "bad", warning: "warn", notice: "info" };

export function DiskPanel({ bay, disks, onChange }) {
  const { disk } = bay;
  const verdict = verdictOf(bay);
  const title = html`${bay.name}${disk && bay.name !== disk.name && ` · ${disk.name}`}
    ${" "}<${State} name=${STATES[verdict]} label=${t(`disks.verdict.${verdict}`)} />`;
  return html`<${Card} title=${title}>
    ${disk ? html`<${Details} ...${{ bay, disk, disks, onChange }} />` : html`<p>${t("disks.empty_text")}</p>`}
    <${Light} bay=${bay} onEnd=${onChange} />
  <//>`;
}

function Light({ bay, onEnd }) {
  const { slot, disk } = bay;
  if (!slot?.has_light) {
    return disk && html`<p class="note">${t("disks.no_light", { serial: disk.serial || disk.name })}</p>`;
  }
  const values = { bay: `${slot.enclosure}/${slot.name}`, ...(slot.is_lit && { off: true }) };
  return html`<${Action} verb="disks locate" values=${values} label=${t(slot.is_lit ? "disks.light_off" : "disks.light_on")}
    icon="light" tone="plain" onEnd=${onEnd} />`;
}

function Details({ bay, disk, disks, onChange }) {
  const detail = useResource(at`/disks/${disk.name}`, { on: ["finding"] });
  const { findings = [], at_stake: stakes = [], trends } = detail.data ?? {};
  const facts = {
    model: disk.model,
    serial: disk.serial,
    firmware: disk.firmware,
    size: size(disk.size_bytes),
    rotation: disk.rotation_rpm ? t("disks.rpm", { rpm: disk.rotation_rpm }) : disk.is_rotating ? "" : t("disks.solid"),
    transport: disk.transport.toUpperCase(),
    path: disk.path,
    carries: disk.uses.map((use) => use.name).join(", ") || t("disks.nothing"),
  };
  return html`<dl class="facts">
      ${Object.entries(facts).filter(([, value]) => value)
        .map(([name, value]) => html`<dt>${t(`disks.fact.${name}`)}</dt><dd>${value}</dd>`)}
    </dl>
    <${Loading} resource=${detail}>
      ${findings.map((one) => html`<${DiskFinding} finding=${one} key=${one.rule} />`)}
      ${stakes.map((stake) => html`<${Stake} stake=${stake} />`)}
      <${Trends} trends=${trends} />
    <//>
    <${Replace} ...${{ bay, disk, disks, onChange }} />`;
}

function DiskFinding({ finding }) {
  const { title, own, consequence, action } = describeFinding(finding);
  return html`<${Notice} tone=${TONES[finding.severity]} title=${title}>
    <p>${consequence}</p><p>${action}</p>${own && html`<p class="note">${own}</p>`}<//>`;
}

function Replace({ disk, disks, onChange }) {
  const [isOpen, setOpen] = useState(false);
  if (!isOpen) {
    return html`<div class="actions"><${Button} icon="replace" onPress=${() => setOpen(true)}>${t("disks.replace")}<//></div>`;
  }
  return html`<${ReplaceDisk} ...${{ disk, disks }} onClose=${() => setOpen(false)} onEnd=${onChange} />`;
}

function Stake({ stake }) {
  const words = [
    stake.arrays.length ? t("disks.stake_arrays", { names: stake.arrays.join(", ") }) : t("disks.stake_alone"),
    t("disks.may_fail", { count: stake.redundancy }),
    stake.holds_store && t("disks.stake_store", { count: stake.points.length }),
  ];
  return html`<${Notice} tone="warn" title=${t("disks.at_stake")}><p>${words.filter(Boolean).join(" · ")}</p><//>`;
}

function Trends({ trends }) {
  if (!trends) return null;
  const drawn = TRENDS.filter((name) => trends[name]?.length > 1);
  if (!drawn.length) return html`<p class="muted">${t("disks.no_trends")}</p>`;
  return html`<div class="grid trends">${drawn.map((name) => html`<${Trend} name=${name} values=${trends[name]} key=${name} />`)}</div>`;
}

function Trend({ name, values }) {
  const label = t(`disks.measure.${name}`);
  return html`<${Chart} label=${t("disks.trend", { what: label, since: day(values[0].time) })} height_px=${150}
    times_s=${values.map((one) => Date.parse(one.time) / 1000)}
    series=${[{ label, values: values.map((one) => one.value) }]} write=${(value) => number(value, 1)} />`;
}
