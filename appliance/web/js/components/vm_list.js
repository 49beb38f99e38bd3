// Recovered VMs: those that run and those whose overlay is kept.

import { html } from "../view.js";
import { has, moment, size, t } from "../i18n.js";
import { useResource } from "../resource.js";
import { href } from "../router.js";
import { LinkButton } from "./button.js";
import { Card } from "./page.js";
import { State } from "./state.js";
import { Notice } from "./trouble.js";

// The look (state.js) and word of what `holdfast vms` says.
const LOOKS = { running: "running", stopped: "paused", starting: "queued", served: "active", damaged: "bad" };

/** The list, or nothing where there are none. */
export function VmList() {
  const vms = useResource("/vms", { on: ["box", "job"] }).data?.items ?? [];
  if (!vms.length) return null;
  return html`<${Card} title=${t("vms.title")}>
    <ul class="rows">
      ${vms.map((vm) => html`<${VmRow} vm=${vm} key=${vm.name} />`)}
    </ul>
  <//>`;
}

/** State of a VM as symbol and word. */
export function VmState({ state }) {
  const known = has(`vms.state.${state}`) ? state : "held";
  return html`<${State} name=${LOOKS[state] ?? "warning"} label=${t(`vms.state.${known}`)} />`;
}

/** Of which machine and moment a VM is. */
export function originOf(vm) {
  const [machine, time] = vm.point.split("@");
  return t("vms.of", { machine, when: moment(time) });
}

function VmRow({ vm }) {
  const isRunning = vm.has_screen && vm.state !== "stopped";
  return html`<li>
    <${VmState} state=${vm.state} />
    <div class="row-text">
      <strong>${vm.name}</strong>
      <span class="note">${originOf(vm)} · ${t("vms.wrote", { size: size(vm.overlay_bytes) })}</span>
      ${vm.warning && html`<${Notice} tone="warn" title=${t("vms.filling")}><p lang="en">${vm.warning}</p><//>`}
    </div>
    <${LinkButton} icon=${isRunning ? "screen" : null} href=${href("/vms", vm.name)}>
      ${t(isRunning ? "vms.open" : "vms.show")}
    <//>
  </li>`;
}
