// The first administrator. With it the setup window closes.

import { get, post } from "../../api.js";
import { t } from "../../i18n.js";
import { renewSession } from "../../session.js";
import { progress } from "../../setup_progress.js";
import { html, useEffect, useState } from "../../view.js";
import { Form, PasswordField, TextField, useForm } from "../../components/form.js";
import { Notice } from "../../components/trouble.js";
import { rememberWay } from "./host.js";
import { KeyField } from "./key_field.js";
import { Step } from "./step.js";

export function Admin({ next, back }) {
  const [needsKey, setNeedsKey] = useState(false);
  useEffect(() => {
    get("/setup", { isFinal: true }).then((setup) => setNeedsKey(setup.needs_recovery_key), () => {});
  }, []);
  const form = useForm({ user: "admin", password: "", again: "", recovery_key: "" }, {
    draft: "first-admin", secrets: ["password", "again", "recovery_key"],
    onSubmit: async ({ user, password, recovery_key: key }) => {
      await post("/setup/admin", { user, password, ...(key ? { recovery_key: key } : {}) }, { isFinal: true });
      next();
      await renewSession();
      await rememberWay(progress.value.way);
    },
  });
  const { values } = form;
  const differs = values.again !== "" && values.again !== values.password;
  return html`<${Step} name="admin" back=${back}>
    <${Form} form=${form} action=${t("action.next")}
      isReady=${values.user !== "" && values.password !== "" && values.password === values.again}>
      <${TextField} form=${form} name="user" label=${t("signin.user")} hint=${t("setup.admin_name_hint")} autocomplete="username" />
      <${PasswordField} form=${form} name="password" label=${t("signin.password")} hint=${t("signin.new_hint")} autocomplete="new-password" />
      <${PasswordField} form=${form} name="again" label=${t("signin.again")} autocomplete="new-password" wrong=${differs ? t("signin.differs") : null} />
      ${needsKey && html`<${Notice} tone="warn"><p>${t("setup.had_admin")}</p><//>
        <${KeyField} form=${form} />`}
    <//>
  <//>`;
}
