// Programs that may come in: scripts, agents, the console.

import { at, post, remove } from "../../api.js";
import { day, moment, relative, t } from "../../i18n.js";
import { useResource } from "../../resource.js";
import { html, useState } from "../../view.js";
import { Button } from "../../components/button.js";
import { Dialog, confirmFirst } from "../../components/dialog.js";
import { ChoiceField, Form, NumberField, TextField, useForm } from "../../components/form.js";
import { OnlyNow, Secret } from "../../components/once.js";
import { Card } from "../../components/page.js";
import { State } from "../../components/state.js";
import { Table } from "../../components/table.js";
import { tell } from "../../components/toast.js";
import { Empty, Loading, Trouble } from "../../components/trouble.js";

const ROLES = ["viewer", "operator", "admin", "agent", "console"];

export function Tokens() {
  const tokens = useResource("/tokens");
  const [isAdding, setAdding] = useState(false);
  const [made, setMade] = useState(null);
  const [problem, setProblem] = useState(null);
  const items = tokens.data?.items || [];
  const revoke = async (token) => {
    setProblem(null);
    const isAgreed = await confirmFirst({
      title: t("tokens.revoke_title", { name: token.name }), body: t("tokens.revoke_body"),
      action: t("tokens.revoke"), tone: "danger",
    });
    if (!isAgreed) return;
    try {
      await remove(at`/tokens/${token.id}`);
      tell(t("tokens.revoked", { name: token.name }));
      await tokens.reload();
    } catch (error) {
      setProblem(error);
    }
  };
  const add = html`<${Button} icon="add" onPress=${() => setAdding(true)}>${t("tokens.add")}<//>`;
  return html`<${Card} title=${t("settings.tokens")} action=${items.length > 0 && add}>
    <p class="lead">${t("tokens.lead")}</p>
    <${Trouble} problem=${problem} />
    <${Loading} resource=${tokens}>
      ${tokens.data && items.length === 0
        ? html`<${Empty} icon="key" title=${t("tokens.none")} action=${add}><p>${t("tokens.none_text")}</p><//>`
        : html`<${Table} caption=${t("settings.tokens")} columns=${columns(revoke)} rows=${items} />`}
    <//>
    ${isAdding && html`<${Add} onClose=${() => setAdding(false)} onMade=${(answer) => { setAdding(false); setMade(answer); tokens.reload(); }} />`}
    ${made && html`<${Dialog} title=${t("tokens.made_title", { name: made.token.name })} onClose=${() => setMade(null)}>
      <${OnlyNow}>${t("tokens.made")}<//>
      <${Secret} name=${t("tokens.secret")} text=${made.secret} />
      <div class="actions"><${Button} tone="main" onPress=${() => setMade(null)}>${t("once.kept")}<//></div>
    <//>`}
  <//>`;
}

function columns(revoke) {
  return [
    { label: t("tokens.name"), isHead: true, cell: (token) => token.name },
    { label: t("users.role"), cell: (token) => (token.machine ? t("tokens.for_machine", { role: t(`role.${token.role}`), machine: token.machine }) : t(`role.${token.role}`)) },
    { label: t("tokens.owner"), cell: (token) => token.owner },
    { label: t("tokens.expires"), cell: (token) => (token.expires_at ? day(token.expires_at) : t("tokens.never")) },
    { label: t("tokens.seen"), cell: (token) => html`<span title=${moment(token.seen_at)}>${relative(token.seen_at)}</span>` },
    { label: t("users.actions"), cell: (token) => (token.revoked_at
      ? html`<${State} name="cancelled" label=${t("tokens.is_revoked")} />`
      : html`<${Button} tone="quiet" label=${t("tokens.revoke_of", { name: token.name })} onPress=${() => revoke(token)}>${t("tokens.revoke")}<//>`) },
  ];
}

function Add({ onClose, onMade }) {
  const form = useForm({ name: "", role: "viewer", machine: "", days: 365 }, {
    draft: "token",
    onSubmit: async (values) => onMade(await post("/tokens", {
      name: values.name, role: values.role, days: values.days ?? 365,
      ...(values.role === "agent" && values.machine ? { machine: values.machine } : {}),
    })),
  });
  const options = ROLES.map((role) => ({ value: role, title: t(`role.${role}`), text: t(`tokens.role_${role}`) }));
  return html`<${Dialog} title=${t("tokens.add")} onClose=${onClose}>
    <${Form} form=${form} action=${t("tokens.add")} isReady=${form.values.name !== ""}
      more=${html`<${Button} onPress=${onClose}>${t("action.cancel")}<//>`}>
      <${TextField} form=${form} name="name" label=${t("tokens.name")} hint=${t("tokens.name_hint")} />
      <${ChoiceField} form=${form} name="role" label=${t("users.role")} options=${options} />
      ${form.values.role === "agent" && html`<${TextField} form=${form} name="machine" label=${t("tokens.machine")} hint=${t("tokens.machine_hint")} />`}
      <${NumberField} form=${form} name="days" label=${t("tokens.days")} hint=${t("tokens.days_hint")} min="0" max="3650" step="1" />
    <//>
  <//>`;
}
