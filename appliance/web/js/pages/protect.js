// Protect a machine: which disks, under which name, by which policy; then its first backup.

import { html, useState } from "../view.js";
import { size, t } from "../i18n.js";
import { useAnswer } from "../answer.js";
import { ask, run } from "../api.js";
import { useResource } from "../resource.js";
import { href } from "../router.js";
import { LinkButton } from "../components/button.js";
import { Consequences } from "../components/consequences.js";
import { CheckField, ChoiceField, Form, TextField, useForm } from "../components/form.js";
import { Card, Page } from "../components/page.js";
import { JobProgress } from "../components/progress.js";
import { Trouble } from "../components/trouble.js";
import { describeProtection } from "../components/policy_words.js";

const NAME = /^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$/;

export default function Protect() {
  const back = { href: href("/machines"), text: t("machines.title") };
  const [started, setStarted] = useState(null);
  return html`<${Page} title=${t("protect.title")} lead=${t("protect.lead")} back=${back}>
    ${started
      ? html`<${First} ...${started} />`
      : html`<${Order} onStart=${setStarted} />`}
  <//>`;
}

/** The form, also for the wizard. `onStart({machine, job})` when the first backup was asked for. */
export function Order({ onStart }) {
  const { data, problem } = useAnswer("policy presets");
  const presets = data?.presets;
  const form = useForm({ kind: "disk", disk: "", path: "", name: "", preset: "office-server", isMounted: false }, {
    draft: "protect",
    onSubmit: async (values) => onStart(await protect(values)),
  });
  const { values } = form;
  const sources = sourcesOf(values);
  const isReady = sources.length > 0 && NAME.test(values.name);
  const preset = presets?.find((one) => one.name === values.preset);
  return html`<${Card}>
    <${Form} form=${form} action=${t("protect.start")} icon="play" isReady=${isReady}>
      <${SourceFields} form=${form} />
      <${TextField} form=${form} name="name" label=${t("protect.name")} hint=${t("protect.name_hint")} />
      <${Trouble} problem=${problem} />
      ${presets && html`<${ChoiceField} form=${form} name="preset" label=${t("protect.policy")}
        options=${presets.map((one) => ({
          value: one.name, title: t(`policy.preset.${one.name}`), text: describeProtection(one.protection),
        }))} />`}
      <${Consequences} items=${[
        t("protect.will_read", { source: sources.join(", ") || "…" }),
        t("protect.will_store"),
        preset && describeProtection(preset.protection),
      ]} />
    <//>
  <//>`;
}

function sourcesOf(values) {
  if (values.kind === "disk") return values.disk ? [values.disk] : [];
  return values.path.split("\n").map((line) => line.trim()).filter(Boolean);
}

async function protect(values) {
  const sources = sourcesOf(values);
  const { name: machine, preset, isMounted } = values;
  const extra = isMounted ? { allow_inconsistent: true } : {};
  await ask("machines add", { name: machine, sources, preset, ...extra });
  const job = await run("backup", { sources, machine, ...extra });
  return { machine, job: job.id };
}

function SourceFields({ form }) {
  const { kind, disk } = form.values;
  const disks = useResource("/disks").data?.items ?? [];
  const chosen = disks.find((one) => one.path === disk);
  const options = [
    { value: "disk", title: t("protect.kind.disk"), text: t("protect.kind.disk_text") },
    { value: "image", title: t("protect.kind.image"), text: t("protect.kind.image_text") },
  ];
  return html`<${ChoiceField} form=${form} name="kind" label=${t("protect.source")} options=${options} />
    ${kind === "disk" &&
    html`<${ChoiceField} form=${form} name="disk" label=${t("protect.which_disk")} options=${disks.map((one) => ({
      value: one.path,
      title: `${one.name} · ${size(one.size_bytes)}${one.model ? ` · ${one.model}` : ""}`,
      text: one.uses.map((use) => use.name).join(", ") || t("protect.disk_free"),
    }))} />
    ${disks.length === 0 && html`<p class="muted">${t("protect.no_disks")}</p>`}
    ${chosen?.uses.some((use) => use.kind === "filesystem") &&
    html`<${CheckField} form=${form} name="isMounted" label=${t("protect.mounted")} hint=${t("protect.mounted_hint")} />`}`}
    ${kind === "image" && html`<${PathsField} form=${form} />`}`;
}

function PathsField({ form }) {
  return html`<div class="field">
    <label for="protect-paths">${t("protect.paths")}</label>
    <p class="hint" id="protect-paths-hint">${t("protect.paths_hint")}</p>
    <textarea id="protect-paths" name="path" rows="2" spellcheck=${false} aria-describedby="protect-paths-hint"
      value=${form.values.path} onInput=${(event) => form.set("path", event.currentTarget.value)}></textarea>
  </div>`;
}

/** The first backup while it runs, and where to go from there. */
function First({ machine, job }) {
  const [ended, setEnded] = useState(null);
  const isDone = ended?.state === "done" || ended?.state === "gaps";
  return html`<${Card} title=${t("protect.first", { machine })}>
    <${JobProgress} id=${job} onEnd=${setEnded} />
    <p class="muted">${t(isDone ? "protect.done" : "protect.may_leave")}</p>
    <div class="actions">
      ${isDone && html`<${LinkButton} tone="main" icon="recover" href=${href("/recover", machine)}>${t("protect.recover")}<//>`}
      <${LinkButton} icon="machines" href=${href("/machines", machine)}>${t("protect.show", { machine })}<//>
    </div>
  <//>`;
}
