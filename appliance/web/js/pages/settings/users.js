// People who may come in.

import { at, post, put } from "../../api.js";
import { moment, relative, t } from "../../i18n.js";
import { useResource } from "../../resource.js";
import { session } from "../../session.js";
import { html, useState } from "../../view.js";
import { Button } from "../../components/button.js";
import { Dialog, confirmFirst } from "../../components/dialog.js";
import { ChoiceField, Form, TextField, useForm } from "../../components/form.js";
import { OnlyNow, Secret } from "../../components/once.js";
import { Card } from "../../components/page.js";
import { State } from "../../components/state.js";
import { Table } from "../../components/table.js";
import { Loading, Trouble } from "../../components/trouble.js";

const ROLES = ["viewer", "operator", "admin"];

export function Users() {
  const users = useResource("/users");
  const [isAdding, setAdding] = useState(false);
  const [changed, setChanged] = useState(null);
  const [made, setMade] = useState(null);
  const columns = [
    { label: t("users.name"), isHead: true, cell: (user) => user.name },
    { label: t("users.role"), cell: (user) => t(`role.${user.role}`) },
    { label: t("users.state"), cell: (user) => html`<${State} name=${stateOf(user)} label=${t(`users.${stateOf(user)}`)} />` },
    { label: t("users.second_factor"), cell: (user) => t(user.has_second_factor ? "users.yes" : "users.no") },
    { label: t("users.last_login"), cell: (user) => html`<span title=${moment(user.last_login_at)}>${relative(user.last_login_at)}</span>` },
    { label: t("users.actions"), cell: (user) => html`<${Button} tone="quiet" label=${t("users.change_of", { name: user.name })}
      onPress=${() => setChanged(user)}>${t("action.edit")}<//>` },
  ];
  return html`<${Card} title=${t("settings.users")}
      action=${html`<${Button} icon="add" onPress=${() => setAdding(true)}>${t("users.add")}<//>`}>
    <p class="lead">${t("users.lead")}</p>
    <${Loading} resource=${users}>
      <${Table} caption=${t("settings.users")} columns=${columns} rows=${users.data?.items || []} keyOf=${(user) => user.name} />
    <//>
    ${isAdding && html`<${Add} onClose=${() => setAdding(false)} onMade=${(who) => { setAdding(false); setMade(who); users.reload(); }} />`}
    ${changed && html`<${Change} user=${changed} onClose=${() => setChanged(null)} onDone=${users.reload} onMade=${setMade} />`}
    ${made && html`<${Dialog} title=${t("users.handover_title", { name: made.name })} onClose=${() => setMade(null)}>
      <${OnlyNow}>${t("users.handover", { name: made.name })}<//>
      <${Secret} name=${t("users.initial")} text=${made.initial_password} />
      <div class="actions"><${Button} tone="main" onPress=${() => setMade(null)}>${t("once.kept")}<//></div>
    <//>`}
  <//>`;
}

const stateOf = (user) => (user.is_disabled ? "paused" : user.has_initial_password ? "new" : "active");

const roleOptions = () => ROLES.map((role) => ({ value: role, title: t(`role.${role}`), text: t(`account.role_${role}`) }));

function Add({ onClose, onMade }) {
  const form = useForm({ name: "", role: "operator" }, {
    draft: "user", onSubmit: async (values) => onMade(await post("/users", values)),
  });
  return html`<${Dialog} title=${t("users.add")} onClose=${onClose}>
    <${Form} form=${form} action=${t("users.add")} isReady=${form.values.name !== ""}
      more=${html`<${Button} onPress=${onClose}>${t("action.cancel")}<//>`}>
      <${TextField} form=${form} name="name" label=${t("users.name")} hint=${t("users.name_hint")} />
      <${ChoiceField} form=${form} name="role" label=${t("users.role")} options=${roleOptions()} />
    <//>
  <//>`;
}

function Change({ user, onClose, onDone, onMade }) {
  const [problem, setProblem] = useState(null);
  const isSelf = user.name === session.value.name;
  const form = useForm({ role: user.role }, {
    onSubmit: async (values) => {
      await put(at`/users/${user.name}`, values);
      await onDone();
      onClose();
    },
  });
  const attempt = (words, action) => async () => {
    setProblem(null);
    if (!(await confirmFirst({ ...words, tone: "danger" }))) return;
    try {
      await action();
      await onDone();
      onClose();
    } catch (error) {
      setProblem(error);
    }
  };
  const reset = attempt(
    { title: t("users.reset_title", { name: user.name }), body: t("users.reset_body"), action: t("users.reset") },
    async () => onMade(await post(at`/users/${user.name}/password`)),
  );
  const toggle = attempt(
    user.is_disabled
      ? { title: t("users.enable_title", { name: user.name }), body: t("users.enable_body"), action: t("users.enable") }
      : { title: t("users.disable_title", { name: user.name }), body: t("users.disable_body"), action: t("users.disable") },
    () => put(at`/users/${user.name}`, { is_disabled: !user.is_disabled }),
  );
  return html`<${Dialog} title=${user.name} onClose=${onClose}>
    <${Form} form=${form} action=${t("action.save")} isReady=${form.values.role !== user.role}>
      <${ChoiceField} form=${form} name="role" label=${t("users.role")} options=${roleOptions()} />
    <//>
    <hr />
    <${Trouble} problem=${problem} />
    <div class="actions">
      <${Button} icon="key" onPress=${reset}>${t("users.reset")}<//>
      <${Button} icon=${user.is_disabled ? "unlock" : "lock"} isDisabled=${isSelf} onPress=${toggle}>${t(user.is_disabled ? "users.enable" : "users.disable")}<//>
    </div>
  <//>`;
}
