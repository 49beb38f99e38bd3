// Where findings go, whether they arrive, and what was sent.

import { settle } from "../../api.js";
import { list, moment, relative, t } from "../../i18n.js";
import { useResource } from "../../resource.js";
import { html, useState } from "../../view.js";
import { Button } from "../../components/button.js";
import { Dialog, confirmFirst } from "../../components/dialog.js";
import { Card } from "../../components/page.js";
import { State } from "../../components/state.js";
import { Table } from "../../components/table.js";
import { tell } from "../../components/toast.js";
import { Empty, Loading, Trouble } from "../../components/trouble.js";
import { NoticeForm } from "./notice_form.js";

export function Notices() {
  const channels = useResource("/notices", { on: ["box", "finding", "job"] });
  const log = useResource("/notices/log", { on: ["box", "finding", "job"] });
  const [isAdding, setAdding] = useState(false);
  const [problem, setProblem] = useState(null);
  const items = channels.data?.items || [];
  const reload = () => Promise.all([channels.reload(), log.reload()]);
  const attempt = async (action) => {
    setProblem(null);
    try {
      await action();
    } catch (error) {
      setProblem(error);
    }
    await reload();
  };
  const test = (name) => attempt(async () => tell(t("notices.tested", { answer: (await settle("notices test", { name })).answer })));
  const removeOne = (name) => attempt(async () => {
    const isAgreed = await confirmFirst({
      title: t("notices.remove_title", { name }), body: t("notices.remove_body"), action: t("action.remove"), tone: "danger",
    });
    if (isAgreed) await settle("notices remove", { name });
  });
  const add = html`<${Button} icon="add" onPress=${() => setAdding(true)}>${t("notices.add")}<//>`;
  return html`<div class="stack">
    <${Card} title=${t("settings.notices")} action=${items.length > 0 && add}>
      <p class="lead">${t("notices.lead")}</p>
      <${Trouble} problem=${problem} />
      <${Loading} resource=${channels}>
        ${channels.data && items.length === 0
          ? html`<${Empty} icon="finding" title=${t("notices.none")} action=${add}><p>${t("notices.none_text")}</p><//>`
          : html`<${Table} caption=${t("settings.notices")} columns=${columns(test, removeOne)} rows=${items} keyOf=${(one) => one.name} />`}
      <//>
    <//>
    ${log.data?.items.length > 0 && html`<${Card} title=${t("notices.log")}>
      <${Table} caption=${t("notices.log")} columns=${logColumns()} rows=${log.data.items} />
    <//>`}
    ${isAdding && html`<${Dialog} title=${t("notices.add")} onClose=${() => setAdding(false)}>
      <${NoticeForm} onAdded=${() => reload()} more=${html`<${Button} onPress=${() => setAdding(false)}>${t("action.close")}<//>`} />
    <//>`}
  </div>`;
}

const stateOf = (state) => html`<${State} name=${state === "failed" ? "failed" : state} />`;

function columns(test, removeOne) {
  return [
    { label: t("notices.name"), isHead: true, cell: (one) => one.name },
    { label: t("notices.goes_to"), isWide: true, cell: (one) => (one.kind === "mail" ? list(one.recipients) : one.url) },
    { label: t("notices.least"), cell: (one) => t(`notices.from_${one.least}`) },
    { label: t("notices.last"), cell: (one) => (one.last ? html`${stateOf(one.last.state)} <span class="note" title=${moment(one.last.made)}>${relative(one.last.made)}</span>` : t("notices.never")) },
    { label: t("notices.actions"), cell: (one) => html`<span class="row">
      <${Button} tone="quiet" label=${t("notices.test_of", { name: one.name })} onPress=${() => test(one.name)}>${t("notices.test")}<//>
      <${Button} tone="quiet" label=${t("notices.remove_of", { name: one.name })} onPress=${() => removeOne(one.name)}>${t("action.remove")}<//></span>` },
  ];
}

const logColumns = () => [
  { label: t("notices.subject"), isHead: true, cell: (message) => (message.test ? t("notices.test") : message.subject) },
  { label: t("notices.name"), cell: (message) => message.channel },
  { label: t("notices.made"), cell: (message) => html`<span title=${moment(message.made)}>${relative(message.made)}</span>` },
  { label: t("notices.state"), cell: (message) => stateOf(message.state) },
  { label: t("notices.answer"), isWide: true, cell: (message) => html`<span class="note" lang="en">${message.answer}</span>` },
];
