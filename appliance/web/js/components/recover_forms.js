// Boot, restore, export: what is asked, what will happen, and the job that does it.

import { html } from "../view.js";
import { size, t } from "../i18n.js";
import { href } from "../router.js";
import { Action } from "./action.js";
import { LinkButton } from "./button.js";
import { Consequences } from "./consequences.js";
import { CheckField, NumberField, SelectField, TextField } from "./form.js";
import { useOrder, withoutEmpty } from "./order.js";

// Formats and who reads them.
const FORMATS = { qcow2: "Proxmox, KVM", vmdk: "VMware", vhdx: "Hyper-V", vdi: "VirtualBox", raw: "dd" };
const NETWORKS = ["none", "isolated"];
const WAITS = ["login", "none"];

const networks = () => NETWORKS.map((name) => [name, t(`boot.network.${name}`)]);
const waits = () => WAITS.map((name) => [name, t(`boot.wait.${name}`)]);
const formats = () => Object.entries(FORMATS).map(([name, readers]) => [name, `${name} (${readers})`]);

export function BootForm({ point }) {
  const form = useOrder({ name: "", memory: null, cpus: null, network: "none", wait: "login" });
  const { network } = form.values;
  return html`<div class="form">
    <${SelectField} form=${form} name="network" label=${t("boot.network")} options=${networks()} />
    <details>
      <summary>${t("boot.more")}</summary>
      <div class="stack">
        <${TextField} form=${form} name="name" label=${t("boot.name")} hint=${t("boot.name_hint")} isOptional />
        <${NumberField} form=${form} name="memory" label=${t("boot.memory")} hint=${t("boot.remembered")} min="64" isOptional />
        <${NumberField} form=${form} name="cpus" label=${t("boot.cpus")} hint=${t("boot.remembered")} min="1" isOptional />
        <${SelectField} form=${form} name="wait" label=${t("boot.wait")} options=${waits()} />
      </div>
    </details>
    <${Consequences} items=${[
      t("boot.will_read"),
      t("boot.will_write"),
      t(`boot.will_network.${network}`),
      t("boot.will_end"),
    ]} />
    <${Action} verb="boot" values=${{ point: point.name, ...withoutEmpty(form.values) }} role="operator"
      label=${t("boot.start")} icon="play" after=${(vm) => vm.name && html`<${LinkButton} tone="main" icon="screen"
        href=${href("/vms", vm.name)}>${t("boot.open_screen")}<//>`} />
  </div>`;
}

export function RestoreForm({ point }) {
  const form = useOrder({ target: "", disk: "0", force: false });
  const { target, disk, force } = form.values;
  const bytes = point.disks[Number(disk)]?.size_bytes ?? 0;
  const confirm = force && {
    title: t("restore.confirm"),
    body: t("restore.confirm_text", { target, size: size(bytes) }),
    action: t("restore.start"),
    typed: target,
  };
  return html`<div class="form">
    <${DiskField} form=${form} point=${point} />
    <${TextField} form=${form} name="target" label=${t("restore.target")} hint=${t("restore.target_hint")} />
    <${CheckField} form=${form} name="force" label=${t("restore.force")} />
    <${Consequences} items=${[
      t("restore.will_write", { size: size(bytes), target: target || "…" }),
      t(force ? "restore.will_overwrite" : "restore.will_refuse"),
      t("restore.will_keep"),
    ]} />
    <${Action} verb="restore" values=${{ point: point.name, target, disk: Number(disk), ...withoutEmpty({ force }) }}
      role="admin" label=${t("restore.start")} icon="recover" isReady=${target !== ""} confirm=${confirm} />
  </div>`;
}

export function ExportForm({ point }) {
  const form = useOrder({ target: "", disk: "0", format: "qcow2" });
  const { target, disk, format } = form.values;
  return html`<div class="form">
    <${DiskField} form=${form} point=${point} />
    <${SelectField} form=${form} name="format" label=${t("export.format")} options=${formats()} />
    <${TextField} form=${form} name="target" label=${t("export.target")} hint=${t("export.target_hint", { format })} />
    <${Consequences} items=${[
      t("export.will_write", { format, target: target || "…" }),
      t("export.will_hash"),
      t("restore.will_keep"),
    ]} />
    <${Action} verb="export" values=${{ point: point.name, target, disk: Number(disk), format }} role="admin"
      label=${t("export.start")} icon="download" isReady=${target !== ""}
      after=${(done) => done.sha256 && html`<p class="note mono">${t("export.hash", { hash: done.sha256 })}</p>`} />
  </div>`;
}

function DiskField({ form, point }) {
  if (point.disks.length < 2) return null;
  const options = point.disks.map((disk, number) => [
    String(number),
    t("point.disk", { number, size: size(disk.size_bytes) }),
  ]);
  return html`<${SelectField} form=${form} name="disk" label=${t("point.which_disk")} options=${options} />`;
}
