// The off-site copy: added and tried at once, with a real write and a real read.

import { finish, run } from "../../api.js";
import { t } from "../../i18n.js";
import { html, useState } from "../../view.js";
import { Button } from "../../components/button.js";
import { Form, NumberField, TextField, useForm } from "../../components/form.js";
import { JobProgress } from "../../components/progress.js";
import { Notice } from "../../components/trouble.js";
import { NO_VAULT, SECRETS, VaultFields, addressOf, isComplete } from "./vault_form.js";
import { rememberSkipped } from "./host.js";
import { Step } from "./step.js";

export function Vault({ next, back }) {
  const [job, setJob] = useState(null);
  const [isAdded, setAdded] = useState(false);
  const form = useForm({ ...NO_VAULT, name: "offsite", lock: 30 }, {
    draft: "setup-vault", secrets: SECRETS,
    onSubmit: async (values) => {
      const asked = { ...addressOf(values), name: values.name, ...(values.kind === "s3" && values.lock ? { lock: values.lock } : {}) };
      const begun = await run("vault add", asked);
      setJob(begun.id);
      await finish(begun).finally(() => setJob(null));
      setAdded(true);
    },
  });
  const skip = async () => {
    await rememberSkipped("vault").catch(() => {});
    next();
  };
  if (isAdded) {
    return html`<${Step} name="vault" next=${next}><${Notice} tone="good"><p>${t("setup.vault_works")}</p><//><//>`;
  }
  return html`<${Step} name="vault" back=${back} skip=${skip}>
    ${job && html`<${JobProgress} id=${job} />`}
    <${Form} form=${form} action=${t("setup.vault_try")} icon="vault" isReady=${isComplete(form.values)}>
      <${VaultFields} form=${form} />
      <${TextField} form=${form} name="name" label=${t("setup.vault_name")} />
      ${form.values.kind === "s3" && html`<${NumberField} form=${form} name="lock" label=${t("setup.vault_lock")} hint=${t("setup.vault_lock_hint")} min="0" max="90" step="1" />`}
    <//>
  <//>`;
}
