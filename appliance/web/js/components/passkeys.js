// A button beside the password, and the list of one's own devices.

import { remove } from "../api.js";
import { moment, t } from "../i18n.js";
import { isOffered, makePasskey } from "../passkey.js";
import { useResource } from "../resource.js";
import { html, useState } from "../view.js";
import { Button } from "./button.js";
import { confirmFirst } from "./dialog.js";
import { Form, TextField, useForm } from "./form.js";
import { Card } from "./page.js";
import { Loading, Trouble } from "./trouble.js";

/** Instead of password and code; nothing where this page was opened by an address. */
export function ByPasskey({ action, onPress }) {
  const [problem, setProblem] = useState(null);
  if (!isOffered()) return null;
  const press = async () => {
    setProblem(null);
    await onPress().catch((error) => (error.code ? setProblem(error) : Promise.reject(error)));
  };
  return html`<div class="actions"><${Button} icon="key" onPress=${press}>${action}<//></div>
    <${Trouble} problem=${problem} />`;
}

export function Passkeys() {
  const kept = useResource("/session/passkeys");
  const items = kept.data?.items || [];
  const form = useForm({ label: "" }, {
    onSubmit: async ({ label }) => {
      await makePasskey(label);
      await kept.reload();
    },
  });
  const end = async (one) => {
    const isAgreed = await confirmFirst({
      title: t("passkey.remove_title", { label: one.label }), body: t("passkey.remove_body"),
      action: t("passkey.remove"), tone: "danger",
    });
    if (!isAgreed) return;
    await remove(`/session/passkeys/${encodeURIComponent(one.id)}`);
    await kept.reload();
  };
  return html`<${Card} title=${t("passkey.title")}>
    <p>${t(isOffered() ? "passkey.why" : "passkey.by_name")}</p>
    <${Loading} resource=${kept}>
      ${items.length > 0 && html`<ul class="stack">${items.map((one) => html`<li class="row" key=${one.id}>
        <span>${one.label}</span> <span class="note">${moment(one.created_at)}</span>
        <${Button} tone="quiet" icon="close" label=${t("passkey.remove_one", { label: one.label })} onPress=${() => end(one)} />
      </li>`)}</ul>`}
    <//>
    ${isOffered() && html`<${Form} form=${form} action=${t("passkey.make")} tone="plain" icon="key" isReady=${form.values.label.trim() !== ""}>
      <${TextField} form=${form} name="label" label=${t("passkey.label")} hint=${t("passkey.label_hint")} />
    <//>`}
  <//>`;
}
