// One drill: what was measured of each machine, its checks, its pictures, its report.

import { html } from "../view.js";
import { duration, has, moment, t } from "../i18n.js";
import { at } from "../api.js";
import { useResource } from "../resource.js";
import { href } from "../router.js";
import { LinkButton } from "../components/button.js";
import { Card, Page } from "../components/page.js";
import { Figure, State } from "../components/state.js";
import { Table } from "../components/table.js";
import { Loading, Notice } from "../components/trouble.js";

export default function Drill({ params }) {
  const drill = useResource(at`/drills/${params.drill}`);
  const { data } = drill;
  const back = { href: href("/drills"), text: t("drills.title") };
  const report = html`<${LinkButton} icon="report" target="_blank" rel="noopener"
    href=${at`/api/v1/drills/${params.drill}/report`}>${t("drills.report")}<//>`;
  return html`<${Page} title=${data ? t("drills.of", { when: moment(data.began) }) : t("drills.one")} back=${back} actions=${report}>
    <${Loading} resource=${drill}>
      ${data && html`<${Card}>
        <p><${State} name=${data.verdict} isLarge /></p>
        <dl class="figures">
          <${Figure} label=${t("drills.rto")} value=${duration(data.rto_s)} note=${t("drills.rto_text")} />
          <${Figure} label=${t("drills.plan")} value=${data.plan} />
          <${Figure} label=${t("drills.network")} value=${t(`drills.network.${data.network}`)} />
        </dl>
      <//>
      ${data.machines.map((machine) => html`<${OfMachine} machine=${machine} drill=${data.id} key=${machine.name} />`)}`}
    <//>
  <//>`;
}

function OfMachine({ machine, drill }) {
  const pictures = machine.evidence.filter((one) => one.name.endsWith(".png"));
  return html`<${Card} title=${html`${machine.name} <${State} name=${machine.verdict} />`}>
    <dl class="figures">
      <${Figure} label=${t("drills.rto")} value=${duration(machine.rto_s)} />
      <${Figure} label=${t("drills.rpo")} value=${duration(machine.rpo_s)} note=${moment(machine.point.split("@")[1])} />
      <${Figure} label=${t("drills.accelerator")} value=${machine.accelerator.toUpperCase() || "–"} />
    </dl>
    ${machine.error && html`<${Notice} tone="bad"><p lang="en">${machine.error}</p><//>`}
    <${Phases} phases=${machine.phases} />
    <${Checks} checks=${machine.checks} />
    <div class="pictures">
      ${pictures.map((one) => html`<figure key=${one.name}>
        <img loading="lazy" alt=""
          src=${at`/api/v1/drills/${drill}/screens/${one.name.split("/").at(-1)}`} />
        <figcaption class="note">${t("drills.picture", { machine: machine.name })}</figcaption>
      </figure>`)}
    </div>
  <//>`;
}

function Phases({ phases }) {
  if (!phases.length) return null;
  const rows = phases.map((phase, number) => ({ ...phase, took_s: phase.at_s - (phases[number - 1]?.at_s ?? 0) }));
  const columns = [
    { key: "name", label: t("drills.phase"), isHead: true, cell: (one) => stepOf(one.name) },
    { key: "took", label: t("drills.took"), isNumber: true, cell: (one) => duration(one.took_s) },
    { key: "at", label: t("drills.at"), isNumber: true, cell: (one) => duration(one.at_s) },
  ];
  return html`<${Table} caption=${t("drills.phases")} columns=${columns} rows=${rows} keyOf=${(one) => one.name} />`;
}

/** What a recovery has reached; what a newer box measures stands in its own words. */
function stepOf(name) {
  const key = `drills.step.${name.replaceAll(" ", "_")}`;
  return has(key) ? t(key) : html`<span lang="en">${name}</span>`;
}

function Checks({ checks }) {
  if (!checks.length) return null;
  return html`<ul class="rows">
    ${checks.map((check) => html`<li key=${check.title}>
      <${State} name=${check.passed ? "passed" : "failed"} />
      <div class="row-text"><strong>${t(`drills.check.${check.kind}`)}</strong><span class="note" lang="en">${[check.title, check.detail].filter(Boolean).join(" · ")}</span></div>
      <span class="digits">${duration(check.at_s)}</span>
    </li>`)}
  </ul>`;
}
