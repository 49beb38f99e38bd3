// One job: how far it is, what it said, what came out; stop it or do it again.

import { at, get, post } from "../api.js";
import { duration, moment, t } from "../i18n.js";
import { go } from "../router.js";
import { may } from "../session.js";
import { html, useEffect, useRef, useState } from "../view.js";
import { Button } from "../components/button.js";
import { Card, Page } from "../components/page.js";
import { Outcome, Progress, cancelJob, isEnded, titleOf, useJob } from "../components/progress.js";
import { State } from "../components/state.js";
import { Trouble } from "../components/trouble.js";

const LOG_PAGE = 200;
const LOG_EVERY_MS = 2000;

export default function Job({ params }) {
  const { job, problem } = useJob(params.id);
  const back = { href: "#/jobs", text: t("nav.jobs") };
  if (!job) {
    return html`<${Page} title=${t("jobs.job")} back=${back}>
      ${problem ? html`<${Trouble} problem=${problem} />` : html`<div class="skeleton" role="status"><span class="unseen">${t("shell.loading")}</span></div>`}
    <//>`;
  }
  return html`<${Page} title=${titleOf(job)} back=${back} actions=${html`<${Actions} job=${job} />`}>
    <${Card}>
      <${State} name=${job.state} isLarge />
      ${isEnded(job) ? html`<${Outcome} job=${job} />` : html`<${Progress} job=${job} />`}
      <${Facts} job=${job} />
    <//>
    <${Log} job=${job} />
    ${job.result !== null && job.result !== undefined && html`<${Card} title=${t("jobs.result")}>
      <pre tabindex="0" aria-label=${t("jobs.result")} class="mono sheet">${JSON.stringify(job.result, null, 2)}</pre><//>`}
  <//>`;
}

function Actions({ job }) {
  const [problem, setProblem] = useState(null);
  if (!may("operator")) return null;
  const attempt = (action) => async () => {
    setProblem(null);
    await action().catch(setProblem);
  };
  const again = attempt(async () => {
    const next = await post(at`/jobs/${job.id}/retry`);
    go("/jobs", next.id);
  });
  return html`
    ${isEnded(job)
      ? html`<${Button} icon="retry" onPress=${again}>${t("jobs.again")}<//>`
      : html`<${Button} icon="stop" onPress=${attempt(() => cancelJob(job))}>${t("jobs.stop")}<//>`}
    <${Trouble} problem=${problem} />`;
}

function Facts({ job }) {
  const rows = [
    [t("jobs.asked_by"), job.asked_by],
    [t("jobs.asked_at"), moment(job.asked_at, { hasSeconds: true })],
    [t("jobs.started_at"), job.started_at && moment(job.started_at, { hasSeconds: true })],
    [t("jobs.ended_at"), job.ended_at && moment(job.ended_at, { hasSeconds: true })],
    [t("jobs.waited"), job.started_at && duration((new Date(job.started_at) - new Date(job.asked_at)) / 1000)],
    [t("jobs.exit_code"), job.exit_code === null ? null : String(job.exit_code)],
    [t("jobs.command"), html`<code>${commandOf(job)}</code>`],
    [t("jobs.retry_of"), job.retry_of && html`<a href=${`#/jobs/${encodeURIComponent(job.retry_of)}`}>${job.retry_of}</a>`],
    [t("jobs.retried_as"), job.retried_as && html`<a href=${`#/jobs/${encodeURIComponent(job.retried_as)}`}>${job.retried_as}</a>`],
  ];
  return html`<dl class="facts">${rows.filter(([, value]) => value).map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>`;
}

/** What was asked, so that it can be told to a colleague; not meant to be typed. */
function commandOf(job) {
  const values = Object.entries(job.arguments || {})
    .filter(([, value]) => value !== null && value !== false && value !== "")
    .map(([name, value]) => (value === true ? name : `${name}=${[value].flat().join(",")}`));
  return ["holdfast", job.verb, ...values].join(" ");
}

function Log({ job }) {
  const { lines, problem, isWhole } = useLog(job);
  const end = useRef(null);
  const [isFollowing, setFollowing] = useState(true);
  useEffect(() => {
    if (isFollowing && end.current) end.current.scrollTop = end.current.scrollHeight;
  }, [lines.length, isFollowing]);
  const scrolled = ({ currentTarget: pane }) =>
    setFollowing(pane.scrollHeight - pane.scrollTop - pane.clientHeight < 24);
  return html`<${Card} title=${t("jobs.log")}>
    <p class="note">${t("jobs.log_note")}</p>
    <${Trouble} problem=${problem} />
    ${lines.length === 0 && isWhole
      ? html`<p class="muted">${t("jobs.log_empty")}</p>`
      : html`<pre class="mono sheet" tabindex="0" role="log" aria-label=${t("jobs.log")} ref=${end} onScroll=${scrolled}>
          ${lines.map((line) => html`<span class="log-line" key=${line.id}><time class="note">${line.at.slice(11, 19)}</time> ${line.text}${"\n"}</span>`)}
        </pre>`}
  <//>`;
}

/** The log from its start, page after page; while the job runs, what is added. */
function useLog(job) {
  const [state, setState] = useState({ lines: [], problem: null, isWhole: false });
  const ended = isEnded(job);
  useEffect(() => {
    let timer = 0;
    let isGone = false;
    let after = state.lines.at(-1)?.id;
    const read = async () => {
      try {
        const page = await get(at`/jobs/${job.id}/log`, { query: { after, limit: LOG_PAGE } });
        if (isGone) return;
        after = page.items.at(-1)?.id ?? after;
        setState((old) => ({ lines: [...old.lines, ...page.items], problem: null, isWhole: !page.next }));
        if (page.next) timer = setTimeout(read, 0);
        else if (!ended) timer = setTimeout(read, LOG_EVERY_MS);
      } catch (problem) {
        if (!isGone) setState((old) => ({ ...old, problem }));
      }
    };
    read();
    return () => {
      isGone = true;
      clearTimeout(timer);
    };
  }, [job.id, ended]);
  return state;
}
