// One's own account: password, and the authenticator that makes a stolen password worthless.

import { post, put, remove } from "../../api.js";
import { t } from "../../i18n.js";
import { choosePassword, renewSession, session } from "../../session.js";
import { useStore } from "../../store.js";
import { html, useState } from "../../view.js";
import { Button } from "../../components/button.js";
import { Dialog, confirmFirst } from "../../components/dialog.js";
import { Form, PasswordField, TextField, WhoseName, useForm } from "../../components/form.js";
import { OnlyNow, Secret } from "../../components/once.js";
import { Card } from "../../components/page.js";
import { Passkeys } from "../../components/passkeys.js";
import { State } from "../../components/state.js";
import { tell } from "../../components/toast.js";
import { Trouble } from "../../components/trouble.js";

export function Account() {
  const facts = useStore(session);
  return html`<div class="grid">
    <${Card} title=${t("account.who")}>
      <dl class="facts">
        <dt>${t("account.name")}</dt><dd>${facts.name}</dd>
        <dt>${t("account.role")}</dt><dd>${t(`role.${facts.role}`)}</dd>
      </dl>
      <p class="note">${t(`account.role_${facts.role}`)}</p>
    <//>
    <${SecondFactor} facts=${facts} />
    <${Passkeys} />
    <${Password} />
  </div>`;
}

function Password() {
  const form = useForm({ old: "", new: "", again: "" }, {
    secrets: ["old", "new", "again"],
    onSubmit: async (values) => {
      await choosePassword({ old: values.old, new: values.new });
      tell(t("account.password_changed"));
    },
  });
  const { values } = form;
  const differs = values.again !== "" && values.again !== values.new;
  return html`<${Card} title=${t("account.password")}>
    <${Form} form=${form} action=${t("account.change_password")} tone="plain"
      isReady=${values.old !== "" && values.new !== "" && values.new === values.again}>
      <${WhoseName} name=${session.value.name} />
      <${PasswordField} form=${form} name="old" label=${t("account.old")} autocomplete="current-password" />
      <${PasswordField} form=${form} name="new" label=${t("signin.new")} hint=${t("signin.new_hint")} autocomplete="new-password" />
      <${PasswordField} form=${form} name="again" label=${t("signin.again")} autocomplete="new-password"
        wrong=${differs ? t("signin.differs") : null} />
    <//>
  <//>`;
}

function SecondFactor({ facts }) {
  const [enrolment, setEnrolment] = useState(null);
  const [problem, setProblem] = useState(null);
  const attempt = (action) => async () => {
    setProblem(null);
    await action().catch((error) => (error.code ? setProblem(error) : Promise.reject(error)));
  };
  const begin = attempt(async () => setEnrolment(await post("/session/totp")));
  const end = attempt(async () => {
    const isAgreed = await confirmFirst({
      title: t("totp.remove_title"), body: t("totp.remove_body"), action: t("totp.remove"), tone: "danger",
    });
    if (!isAgreed) return;
    await remove("/session/totp");
    await renewSession();
  });
  return html`<${Card} title=${t("totp.title")}>
    <p><${State} name=${facts.has_second_factor ? "good" : "warning"}
      label=${t(facts.has_second_factor ? "totp.on" : "totp.off")} /></p>
    <p>${facts.has_second_factor ? t("totp.left", { count: facts.recovery_codes_left }) : t("totp.why")}</p>
    <${Trouble} problem=${problem} />
    <div class="actions">
      <${Button} tone=${facts.has_second_factor ? "plain" : "main"} icon="key" onPress=${begin}>
        ${t(facts.has_second_factor ? "totp.replace" : "totp.begin")}<//>
      ${facts.has_second_factor && html`<${Button} onPress=${end}>${t("totp.remove")}<//>`}
    </div>
    ${enrolment && html`<${Enrol} enrolment=${enrolment} onClose=${() => setEnrolment(null)} />`}
  <//>`;
}

function Enrol({ enrolment, onClose }) {
  const [codes, setCodes] = useState(null);
  const form = useForm({ code: "" }, {
    secrets: ["code"],
    onSubmit: async (values) => {
      const made = await put("/session/totp", values);
      setCodes(made.recovery_codes);
      await renewSession();
    },
  });
  if (codes) {
    return html`<${Dialog} title=${t("totp.codes_title")} onClose=${onClose}>
      <${OnlyNow}>${t("totp.codes_text")}<//>
      <${Secret} name=${t("totp.codes_title")} text=${codes.join("\n")} />
      <div class="actions"><${Button} tone="main" onPress=${onClose}>${t("once.kept")}<//></div>
    <//>`;
  }
  return html`<${Dialog} title=${t("totp.begin")} onClose=${onClose}>
    <p>${t("totp.scan")}</p>
    <img class="qr" alt=${t("totp.picture")} src=${`data:image/svg+xml;utf8,${encodeURIComponent(enrolment.qr_svg)}`} />
    <details><summary>${t("totp.by_hand")}</summary><${Secret} name=${t("totp.secret")} text=${enrolment.secret} /></details>
    <${Form} form=${form} action=${t("totp.finish")}>
      <${TextField} form=${form} name="code" label=${t("signin.code")} hint=${t("totp.code_hint")} inputmode="numeric" autocomplete="one-time-code" />
    <//>
  <//>`;
}
