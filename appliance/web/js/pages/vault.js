// Vaults: what is there, what is behind and until when, the line, when and how fast to send, cost.

import { html } from "../view.js";
import { has, moment, number, relative, roughly, size, t } from "../i18n.js";
import { useResource } from "../resource.js";
import { href } from "../router.js";
import { Action } from "../components/action.js";
import { LineGraph } from "../components/line_graph.js";
import { Card, Page } from "../components/page.js";
import { Figure, State } from "../components/state.js";
import { Table } from "../components/table.js";
import { Empty, Loading, Notice } from "../components/trouble.js";
import { VaultLimits } from "../components/vault_limits.js";
import { AddVault } from "../components/vault_form.js";

export default function Vault() {
  const vaults = useResource("/vaults", { on: ["box", "job"] });
  const items = vaults.data?.items ?? [];
  return html`<${Page} title=${t("vault.title")} lead=${t("vault.lead")}>
    <${Loading} resource=${vaults}>
      ${items.map((vault) => html`<${One} vault=${vault} onChange=${vaults.reload} key=${vault.name} />`)}
      ${items.length === 0 && html`<${Empty} icon="vault" title=${t("vault.none")}><p>${t("vault.none_text")}</p><//>`}
      <${AddVault} isFirst=${items.length === 0} onEnd=${vaults.reload} />
    <//>
  <//>`;
}

function One({ vault, onChange }) {
  const waiting = vault.machines.reduce((sum, one) => sum + one.waiting_bytes, 0);
  const late = vault.machines.filter((one) => !one.within_target);
  return html`<section class="stack vault" aria-label=${t("timeline.vault", { name: vault.name })}>
    <h2>${vault.name} <span class="note mono">${vault.url}</span></h2>
    <div class="grid">
      <${Card} title=${t("vault.backlog")}>
        <p><${State} name=${late.length ? "late" : "good"} label=${late.length ? t("vault.late", { count: late.length }) : t("vault.in_time")} /></p>
        <dl class="figures">
          <${Figure} label=${t("vault.waiting")} value=${size(waiting)} />
          <${Figure} label=${t("vault.stored")} value=${size(vault.stored_bytes)} note=${t("vault.objects", { count: vault.objects })} />
        </dl>
        <${LastSync} last=${vault.last_sync} />
        ${vault.owner
          ? html`<${Action} verb="vault sync" values=${{ name: vault.name }} label=${t("vault.send")} icon="upload" onEnd=${onChange} />`
          : html`<${Notice}><p>${t("vault.reads_only")}</p><//>`}
      <//>
      <${Card} title=${t("vault.lock")}><${Lock} vault=${vault} /><//>
      <${Card} title=${t("vault.cost")}><${Cost} vault=${vault} /><//>
    </div>
    <${Card} title=${t("vault.line")}><${LineGraph} vault=${vault} /><//>
    <${Card} title=${t("vault.machines")}><${Machines} vault=${vault} /><//>
    <${VaultLimits} vault=${vault} onEnd=${onChange} key=${JSON.stringify([vault.limit_bytes_per_s, vault.share_percent, vault.windows, vault.budget_bytes_per_day, vault.rpo_s])} />
  </section>`;
}

function LastSync({ last }) {
  if (!last.ended) return html`<p class="muted">${t("vault.never_sent")}</p>`;
  // What a box of before has noted has no kind.
  const kind = has(`vault.outcome.${last.kind}`) ? t(`vault.outcome.${last.kind}`) : null;
  return html`<p class="note">${t("vault.last", { when: relative(last.ended) })} ${kind ?? html`<span lang="en">${last.outcome}</span>`}</p>
    ${last.kind === "waits" && html`<p class="note" lang="en">${last.outcome}</p>`}
    ${last.findings?.map((finding) => html`<${Notice} tone="warn"><p lang="en">${finding}</p><//>`)}`;
}

function Lock({ vault }) {
  if (!vault.lock_days) return html`<p><${State} name="idle" label=${t("vault.unlocked")} /></p><p class="muted">${t("vault.unlocked_text")}</p>`;
  const proven = vault.lock_proven_at;
  return html`<p><${State} name=${proven ? "good" : "warning"} label=${proven ? t("vault.lock_holds") : t("vault.lock_unproven")} /></p>
    <dl class="figures">
      <${Figure} label=${t("vault.lock_days")} value=${t("unit.days", { count: vault.lock_days })} />
      <${Figure} label=${t("vault.proven_at")} value=${proven ? relative(proven) : "–"} note=${proven && moment(proven)} />
    </dl>
    <p class="note">${t("vault.lock_text")}</p>`;
}

function Cost({ vault }) {
  const dollars = (value) => t("vault.dollars", { amount: number(value, 2) });
  return html`<dl class="figures">
      <${Figure} label=${t("vault.cost_month")} value=${dollars(vault.storage_usd_per_month)} />
      <${Figure} label=${t("vault.cost_today")} value=${dollars(vault.cost_today_usd)} />
    </dl>
    <p class="note">${t(vault.url.startsWith("file:") ? "vault.cost_none" : "vault.cost_text")}</p>`;
}

function Machines({ vault }) {
  if (!vault.machines.length) return html`<p class="muted">${t("vault.no_machines")}</p>`;
  const columns = [
    { key: "machine", label: t("machines.name"), isHead: true, cell: (one) => one.machine },
    { key: "state", label: t("vault.standing"), cell: (one) => html`<${State} name=${one.within_target ? "good" : "late"} label=${standing(one)} />` },
    { key: "at", label: t("vault.within_at"), cell: (one) => forecast(one) },
    { key: "waiting", label: t("vault.waiting"), isNumber: true, cell: (one) => size(one.waiting_bytes) },
    { key: "there", label: t("vault.points_there"), isNumber: true, cell: (one) => number(one.points_there) },
    { key: "until", label: t("vault.immutable"), cell: (one) => (one.immutable_until ? moment(one.immutable_until) : "–") },
  ];
  return html`<${Table} caption=${t("vault.machines")} columns=${columns} rows=${vault.machines}
    keyOf=${(one) => one.machine} href=${(one) => href("/machines", one.machine)} />`;
}

function standing(one) {
  if (one.newest_there === one.newest) return t("vault.all_there");
  return one.behind_s === null ? t("machines.not_there") : t("machines.behind", { time: roughly(one.behind_s) });
}

function forecast(one) {
  if (one.within_target) return t("vault.is_within", { time: roughly(one.rpo_s) });
  return one.within_at ? relative(one.within_at) : t("vault.no_forecast");
}
