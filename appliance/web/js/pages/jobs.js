// Jobs: what runs, and everything that ever ran.

import { duration, moment, relative, t } from "../i18n.js";
import { useNow } from "../resource.js";
import { go, href } from "../router.js";
import { html } from "../view.js";
import { Card, Page } from "../components/page.js";
import { Progress, isEnded, titleOf } from "../components/progress.js";
import { State } from "../components/state.js";
import { More, Table } from "../components/table.js";
import { Empty, Loading } from "../components/trouble.js";
import { useJobs } from "./job_list.js";

const STATES = ["running", "queued", "done", "gaps", "failed", "cancelled", "interrupted"];

export default function Jobs({ query }) {
  useNow();
  const state = STATES.includes(query.state) ? query.state : undefined;
  const pages = useJobs({ state, machine: query.machine });
  const choose = (event) => go(event.currentTarget.value ? `/jobs?state=${event.currentTarget.value}` : "/jobs");
  const filter = html`<label class="filter"><span>${t("jobs.show")}</span>
    <select onChange=${choose}>
      <option value="" selected=${!state}>${t("jobs.all")}</option>
      ${STATES.map((name) => html`<option value=${name} selected=${state === name}>${t(`state.${name}`)}</option>`)}
    </select></label>`;
  const live = (pages.items || []).filter((job) => !isEnded(job));
  const ended = (pages.items || []).filter(isEnded);
  return html`<${Page} title=${t("nav.jobs")} lead=${t("jobs.lead")} actions=${filter}>
    <${Loading} resource=${pages}>
      ${live.length > 0 && html`<${Card} title=${t("jobs.now")}><ul class="stack is-ruled">
        ${live.map((job) => html`<li key=${job.id} class="stack">
          <div class="spread"><a href=${href("/jobs", job.id)}>${titleOf(job)}</a><${State} name=${job.state} /></div>
          <${Progress} job=${job} /></li>`)}
      </ul><//>`}
      ${ended.length > 0 && html`<${Table} caption=${t("jobs.ended")} columns=${columns()} rows=${ended}
        href=${(job) => href("/jobs", job.id)} />`}
      ${pages.items?.length === 0 && html`<${None} isFiltered=${Boolean(state || query.machine)} />`}
      <${More} pages=${pages} />
    <//>
  <//>`;
}

const lengthOf = (job) =>
  job.started_at && job.ended_at ? (new Date(job.ended_at) - new Date(job.started_at)) / 1000 : null;

const columns = () => [
  { label: t("jobs.job"), isHead: true, cell: titleOf },
  { label: t("jobs.state"), cell: (job) => html`<${State} name=${job.state} />` },
  { label: t("jobs.asked_by"), cell: (job) => job.asked_by },
  { label: t("jobs.ended_at"), cell: (job) => html`<time datetime=${job.ended_at} title=${moment(job.ended_at)}>${relative(job.ended_at)}</time>` },
  { label: t("jobs.took"), isNumber: true, cell: (job) => duration(lengthOf(job)) },
];

function None({ isFiltered }) {
  if (isFiltered) {
    return html`<${Empty} icon="jobs" title=${t("jobs.none_such")} action=${html`<a href="#/jobs">${t("action.show_all")}</a>`} />`;
  }
  return html`<${Empty} icon="jobs" title=${t("jobs.none")}><p>${t("jobs.none_text")}</p><//>`;
}
