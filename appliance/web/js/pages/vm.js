// One recovered VM: its live screen, its keyboard, and how it ends.

import { html, useRef } from "../view.js";
import { duration, size, t } from "../i18n.js";
import { useResource } from "../resource.js";
import { href } from "../router.js";
import { Action } from "../components/action.js";
import { Consequences } from "../components/consequences.js";
import { CheckField } from "../components/form.js";
import { useOrder } from "../components/order.js";
import { Card, Page } from "../components/page.js";
import { Empty, Loading, Notice } from "../components/trouble.js";
import { VmScreen } from "../components/vm_screen.js";
import { VmState, originOf } from "../components/vm_list.js";

const HELD = new Set(["paused", "io-error", "prelaunch", "internal-error", "suspended"]);

export default function Vm({ params }) {
  const vms = useResource("/vms", { on: ["box", "job"] });
  const vm = vms.data?.items.find((one) => one.name === params.vm);
  // One that was just booted is in the next list, if not in the first.
  const first = useRef(null);
  first.current ??= vms.data?.as_of ?? null;
  const isKnown = vm || (vms.data && vms.data.as_of !== first.current);
  const back = { href: href("/recover"), text: t("recover.title") };
  return html`<${Page} title=${params.vm} back=${back}>
    <${Loading} resource=${isKnown ? vms : { ...vms, data: null }}>
      ${vm
        ? html`<${One} vm=${vm} onChange=${vms.reload} />`
        : html`<${Empty} icon="screen" title=${t("vm.gone")}><p>${t("vm.gone_text")}</p><//>`}
    <//>
  <//>`;
}

function One({ vm, onChange }) {
  const overlay = { size: size(vm.overlay_bytes), limit: size(vm.overlay_limit_bytes) };
  return html`<p class="row">
      <${VmState} state=${vm.state} />
      <span>${originOf(vm)}</span>
      <span>${t("vms.overlay", overlay)}</span>
      ${vm.ready_s !== null && html`<span>${t("vm.ready", { time: duration(vm.ready_s) })}</span>`}
      <span class="muted">${t(`vm.accelerator.${vm.accelerator}`)}</span>
    </p>
    ${vm.warning && html`<${Notice} tone="warn" title=${t("vms.filling")}><p lang="en">${vm.warning}</p><//>`}
    ${HELD.has(vm.state) && html`<${Resume} vm=${vm} action="continue" onEnd=${onChange} />`}
    ${vm.has_screen && vm.state !== "stopped"
      ? html`<${VmScreen} name=${vm.name} key=${vm.name} />`
      : html`<${Resume} vm=${vm} action="resume" onEnd=${onChange} />`}
    <div class="grid vm-ends"><${Keep} vm=${vm} onEnd=${onChange} /><${End} vm=${vm} onEnd=${onChange} /></div>`;
}

function Resume({ vm, action, onEnd }) {
  return html`<${Card} title=${t(`vm.${action}_title`)}>
    <${Consequences} items=${[t(`vm.${action}_will`)]} />
    <${Action} verb="vms" values=${{ action, name: vm.name }} label=${t(`vm.${action}`)} icon="play" onEnd=${onEnd} />
  <//>`;
}

/** A recovered VM is a protected machine: what it wrote becomes a point. */
function Keep({ vm, onEnd }) {
  const machine = vm.point.split("@")[0];
  return html`<${Card} title=${t("vm.keep_title")}>
    <${Consequences} items=${[t("vm.keep_will", { machine }), t("vm.keep_runs")]} />
    <${Action} verb="backup" values=${{ sources: [`vm:${vm.name}`] }} label=${t("vm.keep")} tone="plain" icon="lock"
      role="admin" onEnd=${onEnd} />
  <//>`;
}

function End({ vm, onEnd }) {
  const form = useOrder({ discard: false });
  const { discard } = form.values;
  const amount = { size: size(vm.overlay_bytes) };
  const will = discard
    ? [t("vm.discard_off"), t("vm.discard_loses", amount)]
    : [t("vm.stop_asks"), t("vm.stop_keeps", amount)];
  const confirm = discard && { title: t("vm.discard_confirm"), body: t("vm.discard_loses", amount), action: t("vm.discard_do") };
  return html`<${Card} title=${t("vm.end")}>
    <${CheckField} form=${form} name="discard" label=${t("vm.discard")} />
    <${Consequences} items=${will} />
    <${Action} verb="stop" values=${{ name: vm.name, ...(discard && { discard }) }} tone=${discard ? "danger" : "plain"}
      label=${t(discard ? "vm.discard_do" : "vm.stop")} icon="stop" confirm=${confirm} onEnd=${onEnd} />
  <//>`;
}
