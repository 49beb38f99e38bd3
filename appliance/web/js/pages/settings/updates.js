// The release that runs, a new one, and the way back.

import { ask, get, upload } from "../../api.js";
import { moment, size, t } from "../../i18n.js";
import { useResource } from "../../resource.js";
import { html, useEffect, useRef, useState } from "../../view.js";
import { Action } from "../../components/action.js";
import { Button } from "../../components/button.js";
import { Consequences } from "../../components/consequences.js";
import { Field } from "../../components/form.js";
import { Card } from "../../components/page.js";
import { State } from "../../components/state.js";
import { Table } from "../../components/table.js";
import { Loading, Notice, Trouble } from "../../components/trouble.js";

const LOOK_MS = 1000;

export function Updates() {
  const standing = useResource("/updates");
  const data = standing.data;
  return html`<${Loading} resource=${standing}>${data && html`<div class="grid">
    <${Running} standing=${data} />
    ${data.is_installed && html`<${Install} standing=${data} onChange=${standing.reload} />`}
    ${data.is_installed && html`<${Before} standing=${data} onChange=${standing.reload} />`}
  </div>`}<//>`;
}

function Running({ standing }) {
  const { trial, current, version } = standing;
  return html`<${Card} title=${t("updates.runs")}>
    <dl class="facts">
      <dt>${t("updates.version")}</dt><dd class="digits">${version}</dd>
      ${standing.since && current === version && html`<dt>${t("updates.since")}</dt><dd>${moment(standing.since)}</dd>`}
      ${standing.trusted.length > 0 && html`<dt>${t("updates.keys")}</dt><dd class="mono">${standing.trusted.join(", ")}</dd>`}
    </dl>
    ${trial && html`<p><${State} name="warning" label=${t("updates.is_on_trial", { previous: trial.previous })} /></p>`}
    ${current && current !== version && html`<p>${t("updates.next", { version: current })}</p>`}
    ${!standing.is_installed && html`<${Notice}><p>${t("updates.checkout")}</p><p class="note mono" lang="en">${standing.what_to_do}</p><//>`}
    ${standing.is_installed && standing.trusted.length === 0
      && html`<${Notice} tone="warn"><p>${t("updates.no_key", { folder: `${standing.root}/trusted` })}</p><//>`}
  <//>`;
}

/** What was uploaded is looked into at once; what it is stands there before anything is installed. */
function Install({ standing, onChange }) {
  const input = useRef(null);
  const [file, setFile] = useState(null);
  const [sent, setSent] = useState(null);
  const [found, setFound] = useState(null);
  const [problem, setProblem] = useState(null);
  const check = async () => setFound(await ask("update check"));
  const attempt = async (work) => {
    setProblem(null);
    setFound(null);
    try {
      await work();
    } catch (error) {
      if (!error.code) throw error;
      setProblem(error);
    } finally {
      setSent(null);
    }
  };
  const send = (event) => {
    event.preventDefault();
    return attempt(async () => {
      setSent(0);
      await upload("/updates/file", file, setSent);
      await check();
      await onChange();
    });
  };
  useEffect(() => {
    if (standing.uploaded_bytes) attempt(check);
  }, []);
  const isBusy = sent !== null;
  return html`<${Card} title=${t("updates.install")}>
    <form class="form" onSubmit=${send}>
      <${Field} label=${t("updates.file")} hint=${t("updates.file_hint")}>
        ${(given) => html`<input ...${given} ref=${input} type="file" name="file" accept=".update" disabled=${isBusy}
          onChange=${() => setFile(input.current.files[0] || null)} />`}
      <//>
      ${isBusy && html`<${Sending} sent=${sent} total=${file.size} />`}
      <${Trouble} problem=${problem} />
      <div class="actions"><${Button} type="submit" icon="upload" isBusy=${isBusy} isDisabled=${!file}>${t("updates.upload")}<//></div>
    </form>
    ${found && html`<${Found} found=${found} standing=${standing} onChange=${onChange} />`}
  <//>`;
}

function Sending({ sent, total }) {
  const share = Math.min(1, sent / total);
  const far = share < 1 ? t("updates.sent", { done: size(sent), total: size(total) }) : t("updates.checking");
  return html`<div class="progress">
    <div class="meter-text"><span>${far}</span></div>
    <div class="track" role="progressbar" aria-label=${t("updates.upload")} aria-valuemin="0" aria-valuemax="100"
      aria-valuenow=${Math.round(share * 100)} aria-valuetext=${far}><div class="fill" style=${{ width: `${share * 100}%` }} /></div>
  </div>`;
}

function Found({ found, standing, onChange }) {
  const words = { version: found.version, current: standing.current };
  return html`<section class="stack">
    <h3>${t("updates.found", words)}</h3>
    <dl class="facts">
      <dt>${t("updates.built")}</dt><dd>${moment(found.built)}</dd>
      <dt>${t("updates.signed")}</dt><dd class="mono">${found.key}</dd>
      <dt>${t("updates.size")}</dt><dd>${size(found.tree_bytes)}</dd>
      ${found.notes && html`<dt>${t("updates.notes")}</dt><dd><pre>${found.notes}</pre></dd>`}
    </dl>
    ${found.refusal
      ? html`<${Notice} tone="warn" title=${t("updates.refused")}><p lang="en">${found.refusal}</p><//>`
      : html`<${Consequences} items=${[t("updates.will_wait"), t("updates.will_restart"), t("updates.will_return", words)]} />
        <${Change} verb="update install" standing=${standing} target=${found.version} onChange=${onChange} icon="upload"
          label=${t("updates.install_action", words)}
          confirm=${{ title: t("updates.install_title", words), body: t("updates.install_body", words), action: t("updates.install_action", words) }} />`}
  </section>`;
}

/** A job that lets another release run, and the wait until the box says what became of it. */
function Change({ verb, standing, target, onChange, ...rest }) {
  const [isWaiting, setWaiting] = useState(false);
  const [event, setEvent] = useState(null);
  const known = standing.history.length;
  useEffect(() => {
    if (!isWaiting) return undefined;
    let timer = 0;
    const look = async () => {
      try {
        const now = await get("/updates");
        if (now.history.length > known && !now.trial) {
          setEvent(now.history[0]);
          setWaiting(false);
          return;
        }
      } catch (problem) {
        if (!problem.code) throw problem; // the box is on its way
      }
      timer = setTimeout(look, LOOK_MS);
    };
    look();
    return () => clearTimeout(timer);
  }, [isWaiting]);
  const end = (job) => (job.state === "done" ? setWaiting(true) : onChange());
  if (event) {
    const isReady = event.outcome === "running";
    return html`<${Notice} tone=${isReady ? "good" : "bad"}>
      <p role="status">${t(isReady ? "updates.is_ready" : "updates.is_back", event)}</p>
      <${Button} icon="retry" onPress=${() => location.reload()}>${t("updates.reload")}<//>
    <//>`;
  }
  return html`<div class="stack">
    <${Action} verb=${verb} values=${{ wait: true }} role="admin" onEnd=${end} after=${() => null} ...${rest} />
    ${isWaiting && html`<p role="status">${t("updates.starting")}</p>`}
  </div>`;
}

function Before({ standing, onChange }) {
  const words = { version: standing.previous, current: standing.current };
  const columns = [
    { key: "version", label: t("updates.version"), isHead: true, cell: (row) => row.version },
    { key: "time", label: t("updates.when"), cell: (row) => moment(row.time) },
    { key: "outcome", label: t("updates.became"), cell: (row) => html`<${State} name=${row.outcome === "running" ? "good" : "bad"}
      label=${t(row.outcome === "running" ? "updates.ran" : "updates.failed", row)} />` },
  ];
  return html`<${Card} title=${t("updates.history")} isWide>
    <${Table} caption=${t("updates.history")} columns=${columns} rows=${standing.history} keyOf=${(row) => row.time + row.version} />
    ${standing.previous && html`<${Change} verb="update back" standing=${standing} target=${standing.previous} onChange=${onChange}
      tone="plain" icon="back" label=${t("updates.back", words)}
      confirm=${{ title: t("updates.back_title", words), body: t("updates.back_body", words), action: t("updates.back", words) }} />`}
  <//>`;
}
