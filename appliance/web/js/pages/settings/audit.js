// Who did what, newest first.

import { has, moment, t } from "../../i18n.js";
import { usePages } from "../../resource.js";
import { html } from "../../view.js";
import { Card } from "../../components/page.js";
import { State } from "../../components/state.js";
import { More, Table } from "../../components/table.js";
import { Loading } from "../../components/trouble.js";

const LOOKS = { done: "done", refused: "warning", failed: "failed" };

export function AuditLog() {
  const pages = usePages("/audit", { limit: 100 });
  const columns = [
    { label: t("audit.time"), isHead: true, cell: (line) => html`<time datetime=${line.time}>${moment(line.time, { hasSeconds: true })}</time>` },
    { label: t("audit.who"), cell: (line) => line.who || "–" },
    { label: t("audit.action"), cell: (line) => line.action },
    { label: t("audit.target"), isWide: true, cell: (line) => line.target || "–" },
    { label: t("audit.outcome"), cell: (line) => html`<${State} name=${LOOKS[line.outcome] || "unknown"} label=${outcomeOf(line)} />` },
    { label: t("audit.detail"), isWide: true, cell: (line) => html`<span class="note" lang="en">${[line.detail, line.address].filter(Boolean).join(" · ")}</span>` },
  ];
  return html`<${Card} title=${t("settings.audit")}>
    <p class="lead">${t("audit.lead")}</p>
    <${Loading} resource=${pages}>
      <${Table} caption=${t("settings.audit")} columns=${columns} rows=${pages.items || []} keyOf=${(line) => line.number} />
      <${More} pages=${pages} />
    <//>
  <//>`;
}

function outcomeOf({ outcome }) {
  const key = `audit.${outcome}`;
  return has(key) ? t(key) : outcome;
}
