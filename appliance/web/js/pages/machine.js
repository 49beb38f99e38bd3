// One machine: its points on a line of time, what is promised to it, and what can be done with it.

import { html, useState } from "../view.js";
import { moment, relative, roughly, size, t } from "../i18n.js";
import { useAnswer } from "../answer.js";
import { at } from "../api.js";
import { usePages, useResource } from "../resource.js";
import { href } from "../router.js";
import { Action } from "../components/action.js";
import { LinkButton } from "../components/button.js";
import { MachineLife } from "../components/machine_life.js";
import { Card, Page } from "../components/page.js";
import { PointActions } from "../components/point_actions.js";
import { PointFacts, PointSteps } from "../components/point_facts.js";
import { usePoints } from "../components/points.js";
import { PolicyCard } from "../components/policy_card.js";
import { Outcome } from "../components/progress.js";
import { Figure, State } from "../components/state.js";
import { Timeline } from "../components/timeline.js";
import { Loading, Notice } from "../components/trouble.js";

export default function Machine({ params }) {
  const name = params.machine;
  const machine = useResource(at`/machines/${name}`, { on: ["machine", "job"] });
  const settings = useAnswer("machines show", { name });
  const back = { href: href("/machines"), text: t("machines.title") };
  const actions = html`<${LinkButton} icon="recover" href=${href("/recover", name)}>${t("machine.recover")}<//>`;
  return html`<${Page} title=${name} back=${back} actions=${actions}>
    <${Loading} resource=${machine}>
      ${machine.data && html`<${Standing} machine=${machine.data} sources=${settings.data?.sources} onEnd=${machine.reload} />`}
      <${Points} name=${name} onChange=${machine.reload} />
      <${PolicyCard} name=${name} settings=${settings} />
      ${machine.data && html`<${MachineLife} machine=${machine.data} onChange=${machine.reload} />`}
    <//>
  <//>`;
}

function Standing({ machine, sources, onEnd }) {
  const target = machine.rpo_target_s && t("machines.target", { time: roughly(machine.rpo_target_s) });
  const drill = machine.last_drill;
  return html`<${Card}>
    <p><${State} name=${machine.state} isLarge /></p>
    <dl class="figures">
      <${Figure} label=${t("machines.newest_point")} note=${target}
        value=${machine.newest_at ? relative(machine.newest_at) : t("machines.no_point")} />
      <${Figure} label=${t("machines.next_run")} value=${machine.next_run_at ? relative(machine.next_run_at) : "–"}
        note=${machine.next_run_at && moment(machine.next_run_at)} />
      <${Figure} label=${t("machines.points")} value=${t("machines.count", { count: machine.points })}
        note=${machine.oldest_at && t("machine.since", { when: moment(machine.oldest_at) })} />
      <${Figure} label=${t("machines.size")} value=${size(machine.size_bytes)} />
      ${machine.vaults.map((vault) => html`<${Figure} key=${vault.name} label=${t("timeline.vault", { name: vault.name })}
        value=${vault.behind_s === null ? t("machines.not_there") : vault.behind_s > 0
          ? t("machines.behind", { time: roughly(vault.behind_s) }) : t("machines.up_to_date")}
        note=${vault.will_be_within_target_at && t("machine.within_at", { when: moment(vault.will_be_within_target_at) })} />`)}
      <${Figure} label=${t("machines.drill")} value=${drill ? relative(drill.at) : t("machines.no_drill")}
        note=${drill && t("machine.drilled", { verdict: t(`state.${drill.verdict}`), time: drill.rto_s === null ? "–" : roughly(drill.rto_s) })} />
    </dl>
    ${machine.state === "failed" && html`<${LastFailure} name=${machine.name} />`}
    ${machine.damaged_points > 0 && html`<${Notice} tone="warn"><p>${t("machine.damaged", { count: machine.damaged_points })}</p><//>`}
    <${RunNow} name=${machine.name} sources=${sources} onEnd=${onEnd} />
  <//>`;
}

/** Why its last backup came to nothing, and where its log is. */
function LastFailure({ name }) {
  const { items } = usePages("/jobs", { query: { machine: name, verb: "backup" }, limit: 1, on: ["machine"] });
  const job = items?.[0];
  if (job?.state !== "failed") return null;
  return html`<${Notice} tone="bad" title=${t("machine.last_failed", { when: relative(job.ended_at) })}>
    <${Outcome} job=${job} />
    <p><a href=${href("/jobs", job.id)}>${t("machine.show_job")}</a></p>
  <//>`;
}

function Points({ name, onChange }) {
  const found = usePoints(name);
  const [index, setIndex] = useState(null);
  const { points, places } = found;
  const selected = Math.min(index ?? points.length - 1, points.length - 1);
  const point = points[selected];
  const resource = { items: point ? points : found.isLoading ? null : [], problem: found.problem, reload: found.reload };
  const change = () => {
    found.reload();
    onChange();
  };
  return html`<${Card} title=${t("machine.points")}>
    <${Loading} resource=${resource}>
      ${point
        ? html`<${Timeline} ...${{ points, places, selected }} onSelect=${setIndex} label=${t("timeline.label", { machine: name })} />
            <${PointSteps} ...${{ points, selected }} onSelect=${setIndex} />
            <${PointFacts} point=${point} />
            <${PointActions} point=${point} onChange=${change} key=${point.name} />`
        : html`<p class="muted">${t("machine.no_points_text")}</p>`}
    <//>
  <//>`;
}

function RunNow({ name, sources, onEnd }) {
  if (!sources) return null;
  if (!sources.length) return html`<${Notice}><p>${t("machine.no_sources")}</p><//>`;
  return html`<div class="stack">
    <p class="note">${t("machine.sources", { sources: sources.join(", ") })}</p>
    <${Action} verb="backup" values=${{ machine: name }} label=${t("machine.run_now")} icon="play" tone="plain"
      role="operator" onEnd=${onEnd} />
  </div>`;
}
