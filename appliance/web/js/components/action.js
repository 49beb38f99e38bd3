// A button that has the box do something, and the job that came of it, in its place.

import { run } from "../api.js";
import { t } from "../i18n.js";
import { may } from "../session.js";
import { html, useState } from "../view.js";
import { Button } from "./button.js";
import { confirmFirst } from "./dialog.js";
import { JobProgress } from "./progress.js";
import { Trouble } from "./trouble.js";

/**
 * `verb` as in `api.run`. `confirm` ({title, body, action, typed}) is asked first. `after(result)`
 * gives what to do next once it is done; `onEnd(job)` is called however it ended.
 */
export function Action({ verb, values, label, icon, tone = "main", role = "operator", isReady = true, confirm, after, onEnd }) {
  const [id, setId] = useState(null);
  const [ended, setEnded] = useState(null);
  const [problem, setProblem] = useState(null);
  const press = async () => {
    if (confirm && !(await confirmFirst({ tone: "danger", ...confirm }))) return;
    setProblem(null);
    setEnded(null);
    try {
      setId((await run(verb, values)).id);
    } catch (error) {
      setProblem(error);
    }
  };
  const end = (job) => {
    setEnded(job);
    onEnd?.(job);
  };
  const isRunning = id !== null && ended === null;
  const isDone = ended?.state === "done" || ended?.state === "gaps";
  return html`<div class="stack action">
    ${id && html`<${JobProgress} id=${id} onEnd=${end} key=${id} />`}
    <${Trouble} problem=${problem} />
    <div class="actions">
      ${isDone && after?.(ended.result ?? {})}
      ${!isRunning && !(isDone && after) && html`<${Button} tone=${tone} icon=${icon} onPress=${press}
        isDisabled=${!isReady || !may(role)}>${label}<//>`}
      ${!may(role) && html`<span class="note">${t("action.needs_role", { role: t(`role.${role}`) })}</span>`}
    </div>
  </div>`;
}
