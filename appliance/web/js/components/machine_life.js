// The life of a machine: called otherwise, paused, resumed, retired.

import { html } from "../view.js";
import { t } from "../i18n.js";
import { go } from "../router.js";
import { Action } from "./action.js";
import { TextField } from "./form.js";
import { useOrder } from "./order.js";
import { Card } from "./page.js";

const CHOICES = { paused: ["resume", "retire"], retired: ["resume"] };

export function MachineLife({ machine, onChange }) {
  const choices = CHOICES[machine.state] ?? ["pause", "retire"];
  return html`<${Card} title=${t("machine.life")}>
    <${Rename} machine=${machine} />
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

/** Under its new name the machine has another page. */
function Rename({ machine }) {
  const form = useOrder({ name: machine.name });
  const name = form.values.name.trim();
  const leave = (job) => job.state === "done" && go("/machines", name);
  return html`<div class="life">
    <p>${t("machine.rename_text")}</p>
    <${TextField} form=${form} name="name" label=${t("machine.rename_to")} maxlength="64" />
    <${Action} verb="machines rename" values=${{ name: machine.name, new: name }} label=${t("machine.rename")}
      tone="plain" isReady=${name !== "" && name !== machine.name} onEnd=${leave} />
  </div>`;
}
