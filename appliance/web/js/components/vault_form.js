// A new vault: where, with which credentials, and whether what is sent is locked.

import { html, useState } from "../view.js";
import { t } from "../i18n.js";
import { finish, run } from "../api.js";
import { may } from "../session.js";
import { Button } from "./button.js";
import { Consequences } from "./consequences.js";
import { CheckField, Form, NumberField, TextField, useForm } from "./form.js";
import { Card } from "./page.js";
import { JobProgress } from "./progress.js";

const LONG_LOCK_DAYS = 90;
const FIRST = { url: "", name: "vault", key: "", secret: "", lock: null, isAgreed: false };

export function AddVault({ isFirst, onEnd }) {
  const [isOpen, setOpen] = useState(isFirst);
  const [job, setJob] = useState(null);
  const form = useForm(FIRST, {
    draft: "vault",
    secrets: ["key", "secret"],
    onSubmit: async (values) => {
      const begun = await run("vault add", argumentsOf(values));
      setJob(begun.id);
      await finish(begun).finally(() => setJob(null));
      await onEnd();
    },
  });
  if (!may("admin")) return null;
  if (!isOpen) return html`<div class="actions"><${Button} icon="add" onPress=${() => setOpen(true)}>${t("vault.add")}<//></div>`;
  const { url, lock, isAgreed } = form.values;
  const isLong = lock > LONG_LOCK_DAYS;
  return html`<${Card} title=${t("vault.add")}>
    <${Form} form=${form} action=${t("vault.add_do")} icon="vault" isReady=${url !== "" && (!isLong || isAgreed)}>
      <${TextField} form=${form} name="url" label=${t("vault.url")} hint=${t("vault.url_hint")} />
      <${TextField} form=${form} name="name" label=${t("vault.name")} hint=${t("vault.name_hint")} />
      ${url.startsWith("s3:") && html`
        <${TextField} form=${form} name="key" label=${t("vault.access_key")} />
        <${TextField} form=${form} name="secret" type="password" label=${t("vault.secret_key")} />`}
      <${NumberField} form=${form} name="lock" label=${t("vault.lock_for")} hint=${t("vault.lock_hint")} min="0" isOptional />
      ${isLong && html`<${CheckField} form=${form} name="isAgreed" label=${t("vault.long_lock")} />`}
      <${Consequences} items=${[t("vault.will_probe"), t("vault.will_seal"), lock > 0 && t("vault.will_lock", { days: lock })]} />
    <//>
    ${job && html`<${JobProgress} id=${job} />`}
  <//>`;
}

function argumentsOf({ url, name, key, secret, lock }) {
  const credentials = `[default]\naws_access_key_id = ${key}\naws_secret_access_key = ${secret}\n`;
  return {
    url,
    name,
    ...(key && { credentials_file: credentials }),
    ...(lock > 0 && { lock }),
    ...(lock > LONG_LOCK_DAYS && { yes: true }),
  };
}
