// Become a box that was lost: from its vault and the recovery key, or from its own data disks.

import { finish, post, run } from "../../api.js";
import { t } from "../../i18n.js";
import { useResource } from "../../resource.js";
import { html, useState } from "../../view.js";
import { CheckField, ChoiceField, Form, useForm } from "../../components/form.js";
import { Consequences } from "../../components/consequences.js";
import { JobProgress } from "../../components/progress.js";
import { Notice } from "../../components/trouble.js";
import { KeyField } from "./key_field.js";
import { NO_VAULT, SECRETS, VaultFields, addressOf, isComplete } from "./vault_form.js";
import { Step } from "./step.js";

export function OldBox({ next, back }) {
  const setup = useResource("/setup");
  const [job, setJob] = useState(null);
  const [isOpen, setOpen] = useState(false);
  const form = useForm({ ...NO_VAULT, from: "vault", recovery_key: "", take_over: true }, {
    draft: "setup-old", secrets: [...SECRETS, "recovery_key"],
    onSubmit: async (values) => {
      if (values.from === "disks") {
        await post("/box/unlock", { recovery_key: values.recovery_key });
      } else {
        const begun = await run("vault open", {
          ...addressOf(values), recovery_key: [values.recovery_key], name: "vault", take_over: values.take_over,
        });
        setJob(begun.id);
        await finish(begun).finally(() => setJob(null));
      }
      setOpen(true);
    },
  });
  const isFromVault = form.values.from === "vault";
  const hasStore = Boolean(setup.data?.has_store);
  if (isOpen) {
    return html`<${Step} name="old" next=${next}><${Notice} tone="good"><p>${t("setup.old_works")}</p><//><//>`;
  }
  return html`<${Step} name="old" back=${back} skip=${hasStore ? next : null}>
    ${job && html`<${JobProgress} id=${job} />`}
    <${Form} form=${form} action=${t("setup.old_open")} icon="key"
      isReady=${form.values.recovery_key.trim() !== "" && (!isFromVault || isComplete(form.values))}>
      <${ChoiceField} form=${form} name="from" label=${t("setup.old_from")} options=${[
        { value: "vault", title: t("setup.old_vault"), text: t("setup.old_vault_text") },
        { value: "disks", title: t("setup.old_disks"), text: t(hasStore ? "setup.old_disks_text" : "setup.old_disks_none"), isOff: !hasStore },
      ]} />
      ${isFromVault && html`<${VaultFields} form=${form} />`}
      <${KeyField} form=${form} />
      ${isFromVault && html`<${CheckField} form=${form} name="take_over" label=${t("setup.take_over")} hint=${t("setup.take_over_hint")} />
        <${Consequences} items=${[t("setup.old_will_1"), t("setup.old_will_2"), form.values.take_over && t("setup.old_will_3")]} />`}
    <//>
  <//>`;
}
