// Findings: what somebody should know of, worst first: why it is said, what follows, what to do.

import { at, post } from "../api.js";
import { clockTime, day, has, moment, number, relative, size, t } from "../i18n.js";
import { useResource } from "../resource.js";
import { may } from "../session.js";
import { html, useState } from "../view.js";
import { Button } from "../components/button.js";
import { describeFinding } from "../components/finding_words.js";
import { Page } from "../components/page.js";
import { State } from "../components/state.js";
import { tell } from "../components/toast.js";
import { Empty, Loading, Notice, Trouble } from "../components/trouble.js";

const LOOKS = { critical: "critical", warning: "warning", notice: "info" };

export default function Findings() {
  const findings = useResource("/findings", { on: ["finding"] });
  const items = findings.data?.items || [];
  const open = items.filter((one) => !one.acknowledged);
  const known = items.filter((one) => one.acknowledged);
  return html`<${Page} title=${t("nav.findings")} lead=${t("findings.lead")}>
    <${Loading} resource=${findings}>
      ${findings.data?.trouble && html`<${Notice} tone="warn" title=${t("findings.stale")}><p lang="en">${findings.data.trouble}</p><//>`}
      ${findings.data && !findings.data.as_of && html`<${Notice}><p>${t("findings.looking")}</p><//>`}
      ${findings.data?.as_of && items.length === 0 && html`<${Empty} icon="good" title=${t("findings.none")}>
        <p>${t("findings.none_text")}</p><//>`}
      <ul class="stack">${open.map((one) => html`<li key=${one.name}><${Finding} finding=${one} onChange=${findings.reload} /></li>`)}</ul>
      ${known.length > 0 && html`<details class="card"><summary>${t("findings.acknowledged", { count: known.length })}</summary>
        <ul class="stack">${known.map((one) => html`<li key=${one.name}><${Finding} finding=${one} onChange=${findings.reload} /></li>`)}</ul>
      </details>`}
      ${findings.data?.as_of && html`<p class="note">${t("findings.as_of", { time: relative(findings.data.as_of) })}</p>`}
    <//>
  <//>`;
}

function Finding({ finding, onChange }) {
  const [problem, setProblem] = useState(null);
  const acknowledge = async () => {
    setProblem(null);
    try {
      await post(at`/findings/${finding.name}/acknowledge`);
      tell(t("findings.acknowledged_one"));
      await onChange();
    } catch (error) {
      setProblem(error);
    }
  };
  const words = describeFinding(finding);
  return html`<article class=${`card finding is-${LOOKS[finding.severity]}`}>
    <header class="spread">
      <${State} name=${LOOKS[finding.severity] || "unknown"} />
      <span class="note">${finding.subject}</span>
    </header>
    <h2>${words.title}</h2>
    <dl class="facts">
      ${words.consequence && html`<dt>${t("findings.consequence")}</dt><dd>${words.consequence}</dd>`}
      <dt>${t("findings.action")}</dt><dd>${words.action}</dd>
      ${words.own && html`<dt>${t("findings.own_words")}</dt><dd>${words.own}</dd>`}
      ${finding.evidence.map((one) => html`<dt>${t("findings.evidence")}</dt><dd><${Evidence} evidence=${one} /></dd>`)}
    </dl>
    <${Trouble} problem=${problem} />
    ${!finding.acknowledged && may("operator") && html`<div class="actions">
      <${Button} icon="good" onPress=${acknowledge}>${t("findings.acknowledge")}<//>
      <span class="note">${t("findings.acknowledge_hint")}</span>
    </div>`}
  </article>`;
}

function Evidence({ evidence }) {
  const values = evidence.values.slice(-4);
  const isSameDay = values.every((one) => day(one.time) === day(values.at(-1).time));
  const time = isSameDay ? clockTime : moment;
  return html`${nameOf(evidence)}${": "}
    ${values.map((one, index) => html`${index ? " → " : ""}<span class="digits" title=${moment(one.time)}>${inUnit(one.value, evidence.unit)}
      ${values.length > 1 && html`<span class="note"> (${time(one.time)})</span>`}</span>`)}
    ${evidence.limit !== "" && evidence.limit !== null && html`<span class="note"> · ${t("findings.limit", { limit: inUnit(evidence.limit, evidence.unit) })}</span>`}`;
}

/** What was measured: in words where the box gave it a plain name, else as its standard calls it. */
function nameOf({ what }) {
  const key = `evidence.${what.replaceAll(" ", "_")}`;
  return has(key) ? t(key) : html`<span lang="en">${what}</span>`;
}

function inUnit(value, unit) {
  if (typeof value !== "number") return String(value);
  if (unit === "bytes") return size(value);
  const key = `findings.unit.${unit}`;
  return has(key) ? t(key, { value: number(value, 2) }) : `${number(value, 2)} ${unit || ""}`.trim();
}
