// A job while it runs: phase, how far, how fast, how long still, and what holds it back.

import { at, get, post, problemOfJob } from "../api.js";
import { listen } from "../events.js";
import { duration, has, number, percent, rate, size, t } from "../i18n.js";
import { html, useEffect, useState } from "../view.js";
import { Button } from "./button.js";
import { confirmFirst } from "./dialog.js";
import { State } from "./state.js";
import { Trouble, explain } from "./trouble.js";

const ENDED = new Set(["done", "gaps", "failed", "cancelled", "interrupted"]);
export const isEnded = (job) => ENDED.has(job.state);

/** What a job does, in words: the verb's sentence, or the verb itself. */
export function titleOf(job) {
  const key = `verb.${job.verb.replaceAll(" ", "_")}`;
  const name = has(key) ? t(key) : job.verb;
  return job.machine ? t("job.of_machine", { verb: name, machine: job.machine }) : name;
}

/** The job of that id, live; {job, problem}. */
export function useJob(id) {
  const [state, setState] = useState({ job: null, problem: null });
  useEffect(() => {
    if (!id) return undefined;
    const ask = () =>
      get(at`/jobs/${id}`)
        .then((job) => setState({ job, problem: null }))
        .catch((problem) => setState((old) => ({ ...old, problem })));
    ask();
    return listen((kind, data) => {
      const isOurs = kind === "job" && data && String(data.id) === String(id);
      // An event tells that a job has ended; what came of it has to be asked for.
      if (kind === "again" || (isOurs && isEnded(data))) ask();
      else if (isOurs) setState({ job: data, problem: null });
    });
  }, [id]);
  return state;
}

const amount = (job, value) => (job.unit === "bytes" ? size(value) : number(value));
const speed = (job) => (job.unit === "bytes" ? rate(job.rate_per_s) : t("unit.items_per_second", { items: number(job.rate_per_s, 1) }));

/** Phase, bar and figures of a job that is queued or runs. */
export function Progress({ job }) {
  const share = job.total ? Math.min(1, job.done / job.total) : null;
  const phase = job.state === "queued" ? t("job.waits") : phaseOf(job);
  const far = job.total
    ? t("job.done_of", { done: amount(job, job.done), total: amount(job, job.total) })
    : job.done ? amount(job, job.done) : "";
  return html`<div class="progress">
    <div class="meter-text"><span>${phase}</span><span class="digits">${share === null ? "" : percent(share)}</span></div>
    <div class=${`track ${share === null && job.state === "running" ? "is-moving" : ""}`} role="progressbar" aria-label=${titleOf(job)}
      aria-valuemin="0" aria-valuemax="100" aria-valuenow=${share === null ? null : Math.round(share * 100)}
      aria-valuetext=${[phase, far].filter(Boolean).join(", ")}>
      <div class="fill" style=${{ width: share === null ? null : `${share * 100}%` }} />
    </div>
    <p class="note digits">
      ${[far, job.rate_per_s ? speed(job) : "", job.eta_s !== null && job.eta_s !== undefined ? t("job.eta", { time: duration(job.eta_s) }) : ""]
        .filter(Boolean).join(" · ")}
    </p>
    <${Bottleneck} shares=${job.bottleneck} />
  </div>`;
}

/** What it does now; what a newer box does stands in its own words. */
function phaseOf(job) {
  if (!job.phase) return t("state.running");
  const key = `phase.${job.phase.replaceAll(" ", "_")}`;
  return (has(key) ? t(key, { about: job.about }) : `${job.phase} ${job.about}`).trim();
}

/** Source, CPU, disk, line: which of them the job waits for, in per cent. */
export function Bottleneck({ shares }) {
  if (!shares) return null;
  const parts = ["source", "cpu", "disk", "line"].filter((name) => shares[name]);
  if (!parts.length) return null;
  const worst = parts.reduce((a, b) => (shares[b] > shares[a] ? b : a));
  return html`<p class="bottleneck">
    <span class="note">${t("job.waits_for")}</span>
    ${parts.map((name) => html`<span class=${name === worst ? "chip is-strong" : "chip"}>
      ${t(`bottleneck.${name}`)} <span class="digits">${percent(shares[name] / 100)}</span></span>`)}
  </p>`;
}

export async function cancelJob(job) {
  const isAgreed = await confirmFirst({
    title: t("job.cancel_title"), body: t("job.cancel_body", { job: titleOf(job) }),
    action: t("job.cancel_action"), tone: "danger",
  });
  if (isAgreed) await post(at`/jobs/${job.id}/cancel`);
}

/** A job followed on any page: progress while it runs, then how it ended. `onEnd(job)` once. */
export function JobProgress({ id, onEnd }) {
  const { job, problem } = useJob(id);
  const ended = Boolean(job && isEnded(job));
  useEffect(() => {
    if (ended) onEnd?.(job);
  }, [id, ended]);
  if (!job) return html`<${Trouble} problem=${problem} />`;
  return html`<div class="job-progress">
    <div class="job-line">
      <a href=${`#/jobs/${encodeURIComponent(id)}`}>${titleOf(job)}</a>
      <${State} name=${job.state} />
      ${!ended && html`<${Button} tone="quiet" icon="stop" onPress=${() => cancelJob(job)}>${t("action.cancel")}<//>`}
    </div>
    ${ended ? html`<${Outcome} job=${job} />` : html`<${Progress} job=${job} />`}
  </div>`;
}

function Reason({ job }) {
  const { sentence, own } = explain(problemOfJob(job));
  return html`<p class=${own ? null : "error-text"}>${sentence}</p>${own && html`<p class="mono error-text">${own}</p>`}`;
}

/** How a job ended, in a sentence, and why. */
export function Outcome({ job }) {
  if (!isEnded(job)) return null;
  const time = job.started_at && job.ended_at ? (new Date(job.ended_at) - new Date(job.started_at)) / 1000 : null;
  return html`<div class="outcome">
    <p class="note">${time === null ? t(`outcome.${job.state}`) : t("outcome.after", { outcome: t(`outcome.${job.state}`), time: duration(time) })}</p>
    ${job.error && html`<${Reason} job=${job} />`}
  </div>`;
}
