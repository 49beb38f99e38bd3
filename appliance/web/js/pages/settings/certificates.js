// What browsers are shown: the box's own certificate, or one that somebody brings.

import { put, remove } from "../../api.js";
import { day, t } from "../../i18n.js";
import { useResource } from "../../resource.js";
import { html, useState } from "../../view.js";
import { Button, LinkButton } from "../../components/button.js";
import { confirmFirst } from "../../components/dialog.js";
import { Field, Form, useForm } from "../../components/form.js";
import { Card } from "../../components/page.js";
import { State } from "../../components/state.js";
import { tell } from "../../components/toast.js";
import { Loading, Trouble } from "../../components/trouble.js";

const SOON_DAYS = 21;

export function Certificates() {
  const served = useResource("/certificates");
  return html`<${Loading} resource=${served}>${served.data && html`<div class="grid">
    <${Served} certificate=${served.data} onChange=${served.reload} />
    <${Upload} onChange=${served.reload} />
  </div>`}<//>`;
}

function Served({ certificate, onChange }) {
  const [problem, setProblem] = useState(null);
  const isSoon = new Date(certificate.not_after) - Date.now() < SOON_DAYS * 86_400_000;
  const forget = async () => {
    setProblem(null);
    const isAgreed = await confirmFirst({
      title: t("certificates.own_title"), body: t("certificates.own_body"), action: t("certificates.own_action"), tone: "danger",
    });
    if (!isAgreed) return;
    try {
      await remove("/certificates");
      await onChange();
    } catch (error) {
      setProblem(error);
    }
  };
  return html`<${Card} title=${t("certificates.served")}>
    <p><${State} name=${isSoon ? "warning" : "good"} label=${t(certificate.is_uploaded ? "certificates.is_uploaded" : "certificates.is_own")} /></p>
    <dl class="facts">
      <dt>${t("certificates.names")}</dt><dd>${certificate.names.join(", ")}</dd>
      <dt>${t("certificates.issuer")}</dt><dd>${certificate.issuer}</dd>
      <dt>${t("certificates.until")}</dt><dd>${day(certificate.not_after)}</dd>
      <dt>${t("certificates.fingerprint")}</dt><dd class="mono">${certificate.sha256}</dd>
    </dl>
    <${Trouble} problem=${problem} />
    ${certificate.is_uploaded
      ? html`<div class="actions"><${Button} onPress=${forget}>${t("certificates.own_action")}<//></div>`
      : html`<p>${t("certificates.trust")}</p>
        <div class="actions"><${LinkButton} icon="download" href="/api/v1/certificates/authority" download>${t("certificates.authority")}<//></div>`}
  <//>`;
}

function Upload({ onChange }) {
  const form = useForm({ certificate: "", key: "" }, {
    secrets: ["certificate", "key"],
    onSubmit: async (values) => {
      await put("/certificates", values);
      tell(t("certificates.uploaded"));
      await onChange();
    },
  });
  const area = (name, label, hint) => html`<${Field} label=${label} hint=${hint}>
    ${(given) => html`<textarea ...${given} name=${name} rows="5" class="mono" spellcheck=${false} autocomplete="off"
      value=${form.values[name]} onInput=${(event) => form.set(name, event.currentTarget.value)} />`}
  <//>`;
  return html`<${Card} title=${t("certificates.upload")}>
    <p>${t("certificates.upload_text")}</p>
    <${Form} form=${form} action=${t("certificates.upload_action")} icon="upload" isReady=${form.values.certificate !== "" && form.values.key !== ""}>
      ${area("certificate", t("certificates.chain"), t("certificates.chain_hint"))}
      ${area("key", t("certificates.key"), t("certificates.key_hint"))}
    <//>
  <//>`;
}
