// Home: how the box stands in one sentence, then what that sentence is made of.

import { post } from "../api.js";
import { duration, moment, number, percent, relative, roughly, size, t } from "../i18n.js";
import { useNow, useResource } from "../resource.js";
import { href } from "../router.js";
import { may } from "../session.js";
import { beginSetup } from "../setup_progress.js";
import { html } from "../view.js";
import { Card } from "../components/page.js";
import { Form, PasswordField, useForm } from "../components/form.js";
import { Progress, titleOf } from "../components/progress.js";
import { Meter, State, toneOf } from "../components/state.js";
import { Loading } from "../components/trouble.js";
import { Button, LinkButton } from "../components/button.js";
import { tell } from "../components/toast.js";
import { useJobs } from "./job_list.js";

const SIGNS = {
  protected: "good", late: "late", waiting: "new", failed: "failed", locked: "warning",
  no_machines: "info", not_set_up: "info",
};

export default function Home() {
  const box = useResource("/box", { on: ["box", "machine", "finding", "job"] });
  return html`<${Loading} resource=${box}>${box.data && html`<${Standing} box=${box.data} />`}<//>`;
}

function Standing({ box }) {
  useNow();
  const sign = SIGNS[box.sentence.code] || "unknown";
  return html`<div class="page">
    <header class=${`standing is-${toneOf(sign)}`}>
      <${State} name=${sign} label="" isLarge />
      <h1 tabindex="-1">${sentenceOf(box.sentence)}</h1>
    </header>
    ${box.sentence.code === "locked" && html`<${Unlock} />`}
    ${box.sentence.code === "not_set_up" && may("admin") && html`<${Card} title=${t("home.setup_title")}>
      <p>${t("home.setup_text")}</p>
      <div class="actions"><${Button} tone="main" onPress=${() => beginSetup("clock")}>${t("home.setup_action")}<//></div>
    <//>`}
    ${box.sentence.code === "no_machines" && html`<${FirstMachine} />`}
    <div class="grid">
      <${Machines} counts=${box.machines} />
      <${Space} space=${box.space} />
      <${Vault} vault=${box.vault} />
      <${Disks} counts=${box.disks} />
      <${Drill} drill=${box.last_drill} />
      <${Findings} counts=${box.findings} />
      <${Work} />
    </div>
  </div>`;
}

/** "All 12 machines protected; newest 14 minutes ago; vault 2 hours behind on file1." */
export function sentenceOf({ code, args }) {
  const clauses = [t(`sentence.${code}`, { ...args, count: args[countedBy(code)] ?? args.machines ?? 0 })];
  if (args.newest_point) clauses.push(t("sentence.newest", { time: relative(args.newest_point) }));
  if (args.vault && args.vault_behind_s > 0) {
    clauses.push(t("sentence.vault", {
      vault: args.vault, time: roughly(args.vault_behind_s), machine: args.vault_behind_machine,
    }));
  }
  return clauses.join(t("sentence.joint")) + t("sentence.end");
}

const countedBy = (code) => ({ failed: "failed", late: "late", waiting: "new" })[code] || "machines";

/** A store under a passphrase opens once per boot. */
function Unlock() {
  const form = useForm({ passphrase: "" }, {
    secrets: ["passphrase"],
    onSubmit: async (values) => {
      await post("/box/unlock", values);
      tell(t("home.unlocked"));
    },
  });
  if (!may("operator")) return html`<p class="lead">${t("home.locked_ask")}</p>`;
  return html`<${Card} title=${t("home.unlock_title")}>
    <p>${t("home.unlock_text")}</p>
    <${Form} form=${form} action=${t("home.unlock")} icon="unlock">
      <${PasswordField} form=${form} name="passphrase" label=${t("home.passphrase")} autocomplete="off" />
    <//>
  <//>`;
}

function FirstMachine() {
  return html`<${Card} title=${t("home.first_title")}>
    <div class="prose"><p>${t("home.first_text")}</p></div>
    <div class="actions"><${LinkButton} tone="main" icon="add" href="#/protect">${t("home.first_action")}<//></div>
  <//>`;
}

const More = ({ path, name }) =>
  html`<a class="button is-quiet" href=${href(path)}>${t("home.see", { page: t(`nav.${name}`) })}</a>`;

function Machines({ counts }) {
  const names = ["failed", "late", "new", "protected", "paused", "retired"].filter((name) => counts[name]);
  return html`<${Card} title=${t("nav.machines")} action=${html`<${More} path="/machines" name="machines" />`}>
    ${names.length === 0
      ? html`<p class="muted">${t("home.none_protected")}</p>`
      : html`<ul class="stack">${names.map((name) => html`<li class="spread">
          <a href=${`${href("/machines")}?state=${name}`}><${State} name=${name} /></a><span class="digits">${number(counts[name])}</span></li>`)}</ul>`}
  <//>`;
}

function Space({ space }) {
  if (space.total_bytes === null) {
    return html`<${Card} title=${t("home.space")}><p class="muted">${t("home.not_known_yet")}</p><//>`;
  }
  const used = space.total_bytes - space.free_bytes;
  const share = used / space.total_bytes;
  return html`<${Card} title=${t("home.space")}>
    <${Meter} label=${t("home.used")} share=${share} tone=${share > 0.95 ? "bad" : share > 0.85 ? "warn" : "accent"}
      text=${t("home.of", { share: percent(share), total: size(space.total_bytes) })} />
    <dl class="facts">
      <dt>${t("home.free")}</dt><dd class="digits">${size(space.free_bytes)}</dd>
      ${space.stored_bytes !== null && html`<dt>${t("home.stored")}</dt><dd class="digits">${size(space.stored_bytes)}</dd>`}
      <dt>${t("home.forecast")}</dt>
      <dd>${space.full_at ? t("home.full_at", { time: relative(space.full_at) }) : t("home.never_full")}</dd>
    </dl>
  <//>`;
}

function Vault({ vault }) {
  const action = html`<${More} path="/vault" name="vault" />`;
  if (!vault.vaults) {
    return html`<${Card} title=${t("nav.vault")} action=${action}><p class="muted">${t("home.no_vault")}</p><//>`;
  }
  const isBehind = vault.behind_s > 0;
  return html`<${Card} title=${t("nav.vault")} action=${action}>
    <p><${State} name=${vault.is_within_target === false ? "late" : "good"}
      label=${isBehind ? t("home.behind", { time: roughly(vault.behind_s) }) : t("home.vault_current")} /></p>
    <dl class="facts">
      ${vault.name && html`<dt>${t("home.vault")}</dt><dd>${vault.name}</dd>`}
      ${isBehind && vault.machine && html`<dt>${t("home.furthest")}</dt><dd>${vault.machine}</dd>`}
      <dt>${t("home.to_send")}</dt><dd class="digits">${size(vault.waiting_bytes)}</dd>
    </dl>
  <//>`;
}

function Disks({ counts }) {
  const names = [["critical", "critical"], ["warning", "warning"], ["notice", "info"], ["good", "good"]];
  const known = names.filter(([name]) => counts[name]);
  return html`<${Card} title=${t("nav.disks")} action=${html`<${More} path="/disks" name="disks" />`}>
    ${known.length === 0
      ? html`<p class="muted">${t("home.no_disks")}</p>`
      : html`<ul class="stack">${known.map(([name, look]) => html`<li class="spread">
          <${State} name=${look} /><span class="digits">${number(counts[name])}</span></li>`)}</ul>`}
  <//>`;
}

function Drill({ drill }) {
  return html`<${Card} title=${t("home.last_drill")} action=${html`<${More} path="/drills" name="drills" />`}>
    ${drill === null
      ? html`<p class="muted">${t("home.no_drill")}</p>`
      : html`<p><${State} name=${drill.verdict === "passed" ? "passed" : "failed"} /></p>
        <dl class="facts">
          <dt>${t("home.when")}</dt><dd title=${moment(drill.began)}>${relative(drill.began)}</dd>
          <dt>${t("home.rto")}</dt><dd class="digits">${duration(drill.rto_s)}</dd>
        </dl>`}
  <//>`;
}

function Findings({ counts }) {
  const names = [["critical", "critical"], ["warning", "warning"], ["notice", "info"]];
  const known = names.filter(([name]) => counts[name]);
  return html`<${Card} title=${t("nav.findings")} action=${html`<${More} path="/findings" name="findings" />`}>
    ${known.length === 0
      ? html`<p><${State} name="good" label=${t("home.no_findings")} /></p>`
      : html`<ul class="stack">${known.map(([name, look]) => html`<li class="spread">
          <${State} name=${look} /><span class="digits">${number(counts[name])}</span></li>`)}</ul>`}
  <//>`;
}

/** What runs now; nothing while nothing does. */
function Work() {
  const { items } = useJobs({ state: "running" }, 4);
  if (!items?.length) return null;
  return html`<${Card} title=${t("home.running")} isWide action=${html`<${More} path="/jobs" name="jobs" />`}>
    <ul class="stack">${items.map((job) => html`<li key=${job.id} class="stack">
      <a href=${href("/jobs", job.id)}>${titleOf(job)}</a><${Progress} job=${job} />
    </li>`)}</ul>
  <//>`;
}
