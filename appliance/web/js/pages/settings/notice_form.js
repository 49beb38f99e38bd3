// Where findings go: the fields of a channel, and what is made of them for the box.

import { settle } from "../../api.js";
import { t } from "../../i18n.js";
import { html } from "../../view.js";
import { tell } from "../../components/toast.js";
import { CheckField, ChoiceField, Form, PasswordField, SelectField, TextField, useForm } from "../../components/form.js";

const EMPTY = {
  kind: "mail", name: "mail", least: "warning", server: "", security: "starttls", user: "", password: "",
  sender: "", to: "", url: "", secret: "", allow_private: false,
};
const LEVELS = ["critical", "warning", "notice"];

function argumentsOf(values) {
  const both = { name: values.name, least: values.least };
  if (values.kind === "webhook") {
    return { ...both, url: values.url, secret_file: `${values.secret}\n`, ...(values.allow_private ? { allow_private: true } : {}) };
  }
  const optional = Object.fromEntries([["user", values.user], ["sender", values.sender]].filter(([, value]) => value));
  return {
    ...both, ...optional, server: values.server, security: values.security,
    to: values.to.split(/[\s,;]+/).filter(Boolean), ...(values.password ? { secret_file: `${values.password}\n` } : {}),
  };
}

const isComplete = (values) => Boolean(values.name
  && (values.kind === "webhook" ? values.url && values.secret : values.server && values.to));

/** Adds a channel, tells `onAdded(name)`, and sends a test message at once. */
export function NoticeForm({ onAdded, more }) {
  const form = useForm(EMPTY, {
    draft: "notice", secrets: ["password", "secret"],
    onSubmit: async (values) => {
      await settle("notices add", argumentsOf(values));
      await onAdded(values.name);
      tell(t("notices.tested", { answer: (await settle("notices test", { name: values.name })).answer }));
    },
  });
  const { kind, security } = form.values;
  return html`<${Form} form=${form} action=${t("notices.add_and_test")} icon="good" isReady=${isComplete(form.values)} more=${more}>
    <${ChoiceField} form=${form} name="kind" label=${t("notices.kind")} options=${[
      { value: "mail", title: t("notices.mail"), text: t("notices.mail_text") },
      { value: "webhook", title: t("notices.webhook"), text: t("notices.webhook_text") },
    ]} />
    <${TextField} form=${form} name="name" label=${t("notices.name")} />
    <${SelectField} form=${form} name="least" label=${t("notices.least")} options=${LEVELS.map((name) => [name, t(`notices.from_${name}`)])} />
    ${kind === "webhook"
      ? html`
        <${TextField} form=${form} name="url" label=${t("notices.url")} inputmode="url" />
        <${PasswordField} form=${form} name="secret" label=${t("notices.secret")} hint=${t("notices.secret_hint")} autocomplete="off" />
        <${CheckField} form=${form} name="allow_private" label=${t("notices.allow_private")} hint=${t("notices.allow_private_hint")} />`
      : html`
        <${TextField} form=${form} name="server" label=${t("notices.server")} hint=${t("notices.server_hint")} />
        <${SelectField} form=${form} name="security" label=${t("notices.security")}
          options=${["starttls", "tls", "none"].map((name) => [name, t(`notices.security_${name}`)])} />
        ${security !== "none" && html`
          <${TextField} form=${form} name="user" label=${t("notices.user")} isOptional />
          <${PasswordField} form=${form} name="password" label=${t("notices.password")} isOptional autocomplete="off" />`}
        <${TextField} form=${form} name="to" label=${t("notices.to")} hint=${t("notices.to_hint")} />
        <${TextField} form=${form} name="sender" label=${t("notices.sender")} isOptional />`}
  <//>`;
}
