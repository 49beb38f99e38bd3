// Whether the paper with the recovery key is at hand: shown by typing it once.

import { post } from "../../api.js";
import { t } from "../../i18n.js";
import { useResource } from "../../resource.js";
import { html } from "../../view.js";
import { Field, Form, useForm } from "../../components/form.js";
import { Card } from "../../components/page.js";
import { State } from "../../components/state.js";
import { Loading } from "../../components/trouble.js";

export function RecoveryKey() {
  const steps = useResource("/setup/steps");
  const key = steps.data?.steps.find((one) => one.name === "key");
  const isProven = key?.state === "done";
  return html`<${Card} title=${t("paper.title")}>
    <${Loading} resource=${steps}>
      <p><${State} name=${isProven ? "good" : "warning"} label=${t(isProven ? "paper.proven" : "paper.unproven")} /></p>
      <p>${t(isProven ? "paper.proven_text" : "paper.unproven_text")}</p>
      ${key && !isProven && html`<${Prove} onProven=${steps.reload} />`}
    <//>
  <//>`;
}

function Prove({ onProven }) {
  const form = useForm({ key: "" }, {
    secrets: ["key"],
    onSubmit: async ({ key }) => {
      await post("/setup/key", { recovery_key: key });
      await onProven();
    },
  });
  return html`<${Form} form=${form} action=${t("paper.prove")} icon="key" isReady=${form.values.key.trim() !== ""}>
    <${Field} label=${t("paper.key")} hint=${t("paper.key_hint")}>
      ${(given) => html`<textarea ...${given} name="key" rows="7" class="mono" spellcheck=${false} autocomplete="off"
        value=${form.values.key} onInput=${(event) => form.set("key", event.currentTarget.value)} />`}
    <//>
  <//>`;
}
