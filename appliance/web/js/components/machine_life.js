// The life of a machine: paused, resumed, retired.

import { html } from "../view.js";
import { t } from "../i18n.js";
import { Action } from "./action.js";
import { Card } from "./page.js";

const CHOICES = { paused: ["resume", "retire"], retired: ["resume"] };

export function MachineLife({ machine, onChange }) {
  const choices = CHOICES[machine.state] ?? ["pause", "retire"];
  return html`<${Card} title=${t("machine.life")}>
    ${choices.map((choice) => html`<div class="life" key=${choice}>
      <p>${t(`machine.${choice}_text`)}</p>
      <${Action} verb=${`machines ${choice}`} values=${{ name: machine.name }} label=${t(`machine.${choice}`)}
        tone=${choice === "retire" ? "quiet" : "plain"} role="admin" onEnd=${onChange}
        confirm=${choice === "retire" && {
          title: t("machine.retire"), body: t("machine.retire_text"), action: t("machine.retire"), typed: machine.name,
        }} />
    </div>`)}
  <//>`;
}
