// Guided replacement: which disk takes the place, the plan that the box makes, and only then the yes.

import { html, useEffect, useState } from "../view.js";
import { size, t } from "../i18n.js";
import { awaitEnd, problemOfJob, run } from "../api.js";
import { Action } from "./action.js";
import { Button } from "./button.js";
import { CheckField, SelectField } from "./form.js";
import { useOrder } from "./order.js";
import { Notice, Trouble } from "./trouble.js";

export function ReplaceDisk({ disk, disks, onClose, onEnd }) {
  const others = disks.filter((one) => one.name !== disk.name && one.size_bytes >= disk.size_bytes);
  const form = useOrder({ name: others.find((one) => one.uses.length === 0)?.name ?? "", mayErase: false });
  const { name, mayErase } = form.values;
  const target = others.find((one) => one.name === name);
  const values = target && {
    old: disk.name,
    new: target.name,
    ...(disk.verdict === "good" && { healthy_too: true }),
    ...(mayErase && { erase: target.serial }),
  };
  const options = [["", t("disks.choose")], ...others.map((one) => [one.name, nameOf(one)])];
  return html`<section class="guided" aria-label=${t("disks.replace")}>
    <h3>${t("disks.replace_title", { name: disk.name, serial: disk.serial || "–" })}</h3>
    ${others.length === 0
      ? html`<${Notice} tone="warn"><p>${t("disks.no_other", { size: size(disk.size_bytes) })}</p><//>`
      : html`<${SelectField} form=${form} name="name" label=${t("disks.replace_by")} options=${options} />`}
    ${target?.uses.length > 0 && html`<${CheckField} form=${form} name="mayErase"
      label=${t("disks.may_erase", { name: target.name, what: target.uses.map((use) => use.name).join(", ") })} />`}
    ${values && html`<${Plan} values=${values} onEnd=${onEnd} key=${JSON.stringify(values)} />`}
    <div class="actions"><${Button} onPress=${onClose}>${t("action.close")}<//></div>
  </section>`;
}

const nameOf = (disk) => [disk.bay || disk.name, disk.model, size(disk.size_bytes), disk.serial].filter(Boolean).join(" · ");

/** The plan, asked for without consent; the button says yes to exactly that. */
function Plan({ values, onEnd }) {
  const [plan, setPlan] = useState(null);
  const [problem, setProblem] = useState(null);
  useEffect(() => {
    run("disks replace", values, { query: { wait: 30 } }).then(awaitEnd).then(
      (job) => (job.result?.steps ? setPlan(job.result) : setProblem(problemOfJob(job))),
      setProblem,
    );
  }, []);
  if (problem) return html`<${Trouble} problem=${problem} />`;
  if (!plan) return html`<p role="status">${t("disks.planning")}</p>`;
  return html`<div class="plan stack">
    <h4 lang="en">${plan.title}</h4>
    <ol lang="en">${plan.steps.map((step) => html`<li>${step.text}</li>`)}</ol>
    ${plan.warnings.map((text) => html`<${Notice}><p lang="en">${text}</p><//>`)}
    ${plan.refusals.map((text) => html`<${Notice} tone="bad"><p lang="en">${text}</p><//>`)}
    ${plan.refusals.length === 0 && html`<${Action} verb="disks replace" values=${{ ...values, yes: true }} role="admin"
      label=${t("disks.carry_out")} tone="danger" onEnd=${onEnd} confirm=${{
        title: t("disks.carry_out"), body: html`<p lang="en">${plan.title}</p>`, action: t("disks.carry_out"),
      }} />`}
  </div>`;
}
