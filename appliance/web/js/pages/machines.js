// Machines: what is protected, since when, and what comes next.

import { html, useState } from "../view.js";
import { number, relative, roughly, size, t } from "../i18n.js";
import { usePages } from "../resource.js";
import { href } from "../router.js";
import { LinkButton } from "../components/button.js";
import { Page } from "../components/page.js";
import { State } from "../components/state.js";
import { More, Table } from "../components/table.js";
import { Empty, Loading } from "../components/trouble.js";

const STATES = ["protected", "late", "failed", "new", "paused", "retired"];

export default function Machines({ query }) {
  const [search, setSearch] = useState("");
  const [state, setState] = useState(STATES.includes(query.state) ? query.state : "");
  const pages = usePages("/machines", { query: { search, state }, limit: 100, on: ["machine", "job"] });
  const isEmpty = pages.items?.length === 0 && !search && !state;
  const protect = html`<${LinkButton} tone="main" icon="add" href=${href("/protect")}>${t("machines.protect")}<//>`;
  return html`<${Page} title=${t("machines.title")} lead=${t("machines.lead")} actions=${!isEmpty && protect}>
    ${isEmpty
      ? html`<${Empty} icon="machines" title=${t("machines.none")} action=${protect}><p>${t("machines.none_text")}</p><//>`
      : html`<div class="filters">
            <label class="field search"><span class="unseen">${t("machines.search")}</span>
              <input type="search" placeholder=${t("machines.search")} value=${search}
                onInput=${(event) => setSearch(event.currentTarget.value)} /></label>
            <label class="field"><span class="unseen">${t("machines.state")}</span>
              <select value=${state} onChange=${(event) => setState(event.currentTarget.value)}>
                <option value="">${t("machines.all_states")}</option>
                ${STATES.map((name) => html`<option value=${name} selected=${name === state}>${t(`state.${name}`)}</option>`)}
              </select></label>
          </div>
          <${Loading} resource=${pages}><${List} machines=${pages.items ?? []} /><${More} pages=${pages} /><//>`}
  <//>`;
}

function List({ machines }) {
  if (!machines.length) return html`<p class="muted">${t("machines.none_found")}</p>`;
  const columns = [
    { key: "name", label: t("machines.name"), isHead: true, cell: (one) => one.name },
    { key: "state", label: t("machines.state"), cell: (one) => html`<${State} name=${one.state} />` },
    { key: "newest", label: t("machines.newest_point"), cell: newest },
    { key: "next", label: t("machines.next_run"), cell: (one) => (one.next_run_at ? relative(one.next_run_at) : "–") },
    { key: "vault", label: t("machines.vaults"), cell: vaults },
    { key: "drill", label: t("machines.drill"), cell: drill },
    { key: "points", label: t("machines.points"), isNumber: true, cell: (one) => number(one.points) },
    { key: "size", label: t("machines.size"), isNumber: true, cell: (one) => size(one.size_bytes) },
  ];
  return html`<${Table} caption=${t("machines.title")} columns=${columns} rows=${machines}
    keyOf=${(one) => one.name} href=${(one) => href("/machines", one.name)} />`;
}

function newest(machine) {
  if (!machine.newest_at) return t("machines.no_point");
  const target = machine.rpo_target_s && t("machines.target", { time: roughly(machine.rpo_target_s) });
  return html`${relative(machine.newest_at)}${target && html` <span class="note">${target}</span>`}`;
}

function vaults(machine) {
  if (!machine.vaults.length) return html`<span class="muted">${t("machines.no_vault")}</span>`;
  return machine.vaults.map((vault) => html`<span class="note">${vault.name}:${" "}${behind(vault)}</span> `);
}

function behind(vault) {
  if (vault.behind_s === null) return t("machines.not_there");
  return vault.behind_s > 0 ? t("machines.behind", { time: roughly(vault.behind_s) }) : t("machines.up_to_date");
}

function drill(machine) {
  const last = machine.last_drill;
  if (!last) return html`<span class="muted">${t("machines.no_drill")}</span>`;
  return html`<${State} name=${last.verdict} label=${relative(last.at)} />`;
}
