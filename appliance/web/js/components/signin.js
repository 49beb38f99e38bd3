// Signing in: as a page, and as a dialog over a page that must not be lost.

import { t } from "../i18n.js";
import { confirmByPasskey, signInByPasskey } from "../passkey.js";
import { choosePassword, confirmAgain, question, session, signIn, signOut } from "../session.js";
import { useStore } from "../store.js";
import { html } from "../view.js";
import { Button } from "./button.js";
import { Dialog } from "./dialog.js";
import { Form, PasswordField, TextField, WhoseName, useForm } from "./form.js";
import { ByPasskey } from "./passkeys.js";

const isCodeWanted = (form) => form.problem?.code === "needs-code";

/** Name, password and, once the server asks for it, the code of the authenticator. */
function Credentials({ form, action, isNameFixed }) {
  return html`<${Form} form=${form} action=${action} icon="key">
    ${isNameFixed && html`<${WhoseName} name=${form.values.user} />`}
    ${!isNameFixed && html`<${TextField} form=${form} name="user" label=${t("signin.user")} autocomplete="username" autofocus />`}
    <${PasswordField} form=${form} name="password" label=${t("signin.password")} autocomplete="current-password" />
    ${(form.values.code || isCodeWanted(form)) && html`<${TextField} form=${form} name="code" label=${t("signin.code")}
      hint=${isNameFixed && !session.value.has_second_factor ? t("signin.presence_hint") : t("signin.code_hint")} inputmode="numeric" autocomplete="one-time-code" />`}
  <//>`;
}

const given = ({ user, password, code }) => (code ? { user, password, code } : { user, password });

export function SignIn() {
  const form = useForm({ user: "", password: "", code: "" }, {
    secrets: ["password", "code"], onSubmit: (values) => signIn(given(values)),
  });
  return html`<main class="alone">
    <div class="card sign-in">
      <h1><span>Holdfast</span></h1>
      <p class="lead">${t("signin.lead")}</p>
      <${Credentials} form=${form} action=${t("signin.action")} />
      <${ByPasskey} action=${t("signin.passkey")} onPress=${signInByPasskey} />
      <p class="note">${t("signin.forgotten")}</p>
    </div>
  </main>`;
}

/** After an initial password: nothing else is possible before there is one of one's own. */
export function NewPassword() {
  const form = useForm({ old: "", new: "", again: "" }, {
    secrets: ["old", "new", "again"],
    onSubmit: (values) => choosePassword({ old: values.old, new: values.new }),
  });
  const isSame = form.values.again === "" || form.values.again === form.values.new;
  return html`<main class="alone">
    <div class="card sign-in">
      <h1>${t("signin.new_title")}</h1>
      <p class="lead">${t("signin.new_lead")}</p>
      <${Form} form=${form} action=${t("action.save")} icon="key"
        isReady=${form.values.new !== "" && form.values.again === form.values.new}
        more=${html`<${Button} onPress=${signOut}>${t("action.sign_out")}<//>`}>
        <${WhoseName} name=${session.value.name} />
        <${PasswordField} form=${form} name="old" label=${t("signin.old")} autocomplete="current-password" />
        <${PasswordField} form=${form} name="new" label=${t("signin.new")} hint=${t("signin.new_hint")} autocomplete="new-password" />
        <${PasswordField} form=${form} name="again" label=${t("signin.again")} autocomplete="new-password"
          wrong=${isSame ? null : t("signin.differs")} />
      <//>
    </div>
  </main>`;
}

/** The dialog for requests that wait: the session ended, or the action wants the password again. */
export function Interruption() {
  const asked = useStore(question);
  return asked && html`<${Question} key=${asked.kind} asked=${asked} />`;
}

function Question({ asked }) {
  const { name } = useStore(session);
  const isLogin = asked.kind === "login";
  const form = useForm({ user: name, password: "", code: "" }, {
    secrets: ["password", "code"],
    onSubmit: async (values) => {
      const { password, code } = values;
      await (isLogin ? signIn(given(values)) : confirmAgain(code ? { password, code } : { password }));
      asked.answer(true);
    },
  });
  const byPasskey = async () => {
    await (isLogin ? signInByPasskey() : confirmByPasskey());
    asked.answer(true);
  };
  return html`<${Dialog} title=${t(isLogin ? "signin.again_title" : "signin.confirm_title")} onClose=${() => asked.answer(false)}>
    <p>${t(isLogin ? "signin.again_text" : "signin.confirm_text")}</p>
    <${Credentials} form=${form} action=${t(isLogin ? "signin.action" : "signin.confirm_action")} isNameFixed=${!isLogin} />
    <${ByPasskey} action=${t(isLogin ? "signin.passkey" : "signin.confirm_passkey")} onPress=${byPasskey} />
  <//>`;
}
