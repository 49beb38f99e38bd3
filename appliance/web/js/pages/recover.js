// Recover: a machine, a point on its timeline, and what is to become of it. Running VMs come first.

import { html, useEffect, useState } from "../view.js";
import { moment, relative, t } from "../i18n.js";
import { usePages } from "../resource.js";
import { href } from "../router.js";
import { LinkButton } from "../components/button.js";
import { Card, Page } from "../components/page.js";
import { Icon } from "../components/icon.js";
import { More } from "../components/table.js";
import { Empty, Loading } from "../components/trouble.js";
import { usePoints } from "../components/points.js";
import { Timeline, describePoint } from "../components/timeline.js";
import { PointFacts, PointSteps } from "../components/point_facts.js";
import { BootForm, ExportForm, RestoreForm } from "../components/recover_forms.js";
import { VmList } from "../components/vm_list.js";

const WAYS = [
  { name: "boot", icon: "play" },
  { name: "browse", icon: "folder" },
  { name: "restore", icon: "recover" },
  { name: "export", icon: "download" },
];
const FORMS = { boot: BootForm, restore: RestoreForm, export: ExportForm };

export default function Recover({ params, query }) {
  return html`<${Page} title=${t("recover.title")} lead=${t("recover.lead")}>
    <${VmList} />
    ${params.machine
      ? html`<${RecoverMachine} machine=${params.machine} time=${query.point} />`
      : html`<${ChooseMachine} />`}
  <//>`;
}

function ChooseMachine() {
  const [search, setSearch] = useState("");
  const pages = usePages("/machines", { query: { search }, limit: 100, on: ["machine"] });
  const machines = (pages.items ?? []).filter((one) => one.points > 0);
  if (pages.items && !machines.length && !search) {
    const action = html`<${LinkButton} tone="main" icon="add" href=${href("/protect")}>${t("machines.protect")}<//>`;
    return html`<${Empty} icon="recover" title=${t("recover.nothing")} action=${action}>
      <p>${t("recover.nothing_text")}</p>
    <//>`;
  }
  return html`<${Card} title=${t("recover.choose_machine")}>
    <label class="field search">
      <span class="unseen">${t("machines.search")}</span>
      <input type="search" placeholder=${t("machines.search")} value=${search}
        onInput=${(event) => setSearch(event.currentTarget.value)} />
    </label>
    <${Loading} resource=${pages}>
      <ul class="tiles">
        ${machines.map((one) => html`<li key=${one.name}>
          <a class="tile" href=${href("/recover", one.name)}>
            <${Icon} name="machines" size=${22} />
            <span><strong>${one.name}</strong>
              <span class="note">${t("machines.newest", { ago: relative(one.newest_at), count: one.points })}</span></span>
            <${Icon} name="next" />
          </a>
        </li>`)}
      </ul>
      <${More} pages=${pages} />
    <//>
  <//>`;
}

function RecoverMachine({ machine, time }) {
  const found = usePoints(machine);
  const [chosen, setChosen] = useState(time ?? null);
  const [way, setWay] = useState(null);
  const { points, places } = found;
  const index = points.findIndex((one) => one.time === chosen);
  const selected = index >= 0 ? index : points.length - 1;
  const point = points[selected];
  useEffect(() => {
    if (!chosen) return;
    history.replaceState(null, "", `${href("/recover", machine)}?point=${encodeURIComponent(chosen)}`);
  }, [chosen]);
  const select = (number) => setChosen(points[number].time);
  if (!point) return html`<${NoPoints} found=${found} />`;
  return html`<${Card} title=${html`<span class="ordinal">1</span> ${t("recover.choose_point", { machine })}`}
      action=${html`<a href=${href("/recover")}>${t("recover.other_machine")}</a>`}>
      <${Timeline} ...${{ points, places, selected }} onSelect=${select} label=${t("timeline.label", { machine })} />
      <${PointSteps} ...${{ points, selected }} onSelect=${select} />
      <${PointFacts} point=${point} />
    <//>
    <${Card} title=${html`<span class="ordinal">2</span> ${t("recover.choose_way", { when: moment(point.time) })}`}>
      <${Ways} ...${{ machine, point, way }} onChoose=${setWay} />
      ${way && html`<${FORMS[way]} point=${point} key=${`${way} ${point.name}`} />`}
    <//>`;
}

function NoPoints({ found }) {
  const resource = { items: found.isLoading ? null : [], problem: found.problem, reload: found.reload };
  return html`<${Loading} resource=${resource}>
    <${Empty} icon="late" title=${t("machine.no_points")}><p>${t("machine.no_points_text")}</p><//>
  <//>`;
}

/** What can be done with the point: four large buttons; browsing is a page of its own. */
function Ways({ machine, point, way, onChoose }) {
  const inside = (name, icon) => html`<${Icon} name=${icon} size=${26} />
    <strong>${t(`recover.${name}`)}</strong><span class="note">${t(`recover.${name}_text`)}</span>`;
  return html`<ul class="tiles ways" aria-label=${describePoint(point)}>
    ${WAYS.map(({ name, icon }) => html`<li key=${name}>
      ${name === "browse"
        ? html`<a class="tile way" href=${href("/files", machine, point.time)}>${inside(name, icon)}</a>`
        : html`<button type="button" class="tile way" aria-pressed=${name === way ? "true" : "false"}
            onClick=${() => onChoose(name)}>${inside(name, icon)}</button>`}
    </li>`)}
  </ul>`;
}
