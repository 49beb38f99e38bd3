// Disks: the box as a picture, one bay in detail, arrays with what they are doing.

import { html, useState } from "../view.js";
import { duration, percent, rate, relative, size, t } from "../i18n.js";
import { useResource } from "../resource.js";
import { Icon } from "../components/icon.js";
import { Chassis, LOOKS, gatherBays } from "../components/chassis.js";
import { DiskPanel } from "../components/disk_panel.js";
import { Card, Page } from "../components/page.js";
import { State } from "../components/state.js";
import { Loading, Notice } from "../components/trouble.js";

const RANKS = { critical: 0, warning: 1, notice: 2 };

export default function Disks({ params }) {
  const disks = useResource("/disks", { on: ["finding"] });
  const bays = useResource("/bays", { on: ["finding"] });
  const [chosen, setChosen] = useState(params.disk ?? null);
  const groups = gatherBays(disks.data?.items ?? [], bays.data?.items ?? []);
  const all = groups.flatMap((group) => group.bays);
  const bay = all.find((one) => one.key === chosen || one.disk?.name === chosen) ?? worstOf(all);
  const reload = () => {
    disks.reload();
    bays.reload();
  };
  const lead = disks.data?.as_of && t("disks.as_of", { when: relative(disks.data.as_of) });
  return html`<${Page} title=${t("disks.title")} lead=${lead}>
    <${Loading} resource=${disks}>
      ${disks.data?.trouble && html`<${Notice} tone="warn"><p lang="en">${disks.data.trouble}</p><//>`}
      ${all.length === 0 && html`<p class="muted">${t("disks.none")}</p>`}
      ${groups.map((group) => html`<${Chassis} name=${nameOf(group)} bays=${group.bays} selected=${bay?.key} onSelect=${setChosen} key=${group.name} />`)}
      <${Legend} />
      ${bay && html`<${DiskPanel} bay=${bay} disks=${disks.data?.items ?? []} onChange=${reload} key=${bay.key} />`}
      <${Arrays} />
    <//>
  <//>`;
}

function nameOf({ name }) {
  if (!name) return t("disks.inside");
  return name === "pci" ? t("disks.pci") : t("disks.enclosure", { name });
}

/** What a person most likely came for. */
function worstOf(bays) {
  const full = bays.filter((bay) => bay.disk);
  full.sort((one, other) => (RANKS[one.disk.verdict] ?? 3) - (RANKS[other.disk.verdict] ?? 3));
  return full[0] ?? bays[0];
}

function Legend() {
  return html`<ul class="legend" aria-label=${t("disks.legend")}>
    ${["good", "notice", "warning", "critical", "empty"].map(
      (name) => html`<li class=${`is-${LOOKS[name].tone}`} key=${name}>
        <${Icon} name=${LOOKS[name].icon} size=${16} />${t(`disks.verdict.${name}`)}
      </li>`,
    )}
  </ul>`;
}

function Arrays() {
  const arrays = useResource("/arrays", { on: ["finding", "job"] });
  const items = arrays.data?.items ?? [];
  return html`<${Card} title=${t("disks.arrays")}>
    <${Loading} resource=${arrays}>
      ${items.length === 0 && html`<p class="muted">${t("disks.no_arrays")}</p>`}
      <ul class="rows">${items.map((array) => html`<${ArrayRow} array=${array} key=${array.name} />`)}</ul>
    <//>
  <//>`;
}

function ArrayRow({ array }) {
  const { activity, missing, redundancy } = array;
  const state = missing === 0 ? "good" : redundancy > 0 ? "degraded" : "critical";
  const label = missing ? t("disks.lacks", { missing, slots: array.slots }) : t("disks.whole");
  const left = activity?.eta_s !== null && activity ? t("job.eta", { time: duration(activity.eta_s) }) : "";
  return html`<li>
    <${State} name=${state} label=${label} />
    <div class="row-text">
      <strong>${array.name} · ${array.level.toUpperCase()} · ${size(array.size_bytes)}</strong>
      <span class="note">${t("disks.may_fail", { count: redundancy })} · ${array.members.map((one) => one.name).join(", ")}</span>
      ${activity && html`<div class="meter">
        <div class="meter-text"><span>${t(`disks.action.${activity.action}`)}</span>
          <span class="digits">${[percent(activity.done, 1), rate(activity.speed_bytes_per_s), left].filter(Boolean).join(" · ")}</span></div>
        <div class="track" role="progressbar" aria-label=${`${array.name}: ${t(`disks.action.${activity.action}`)}`}
          aria-valuemin="0" aria-valuemax="100" aria-valuenow=${Math.round(activity.done * 100)}>
          <div class="fill" style=${{ width: `${activity.done * 100}%` }} /></div>
      </div>`}
    </div>
  </li>`;
}
