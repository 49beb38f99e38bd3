// The setup wizard: from the code on the box's screen to the first protected machine.

import { t } from "../i18n.js";
import { session } from "../session.js";
import { progress } from "../setup_progress.js";
import { useStore } from "../store.js";
import { addStyle } from "../components/style.js";
import { html, useEffect, useRef } from "../view.js";
import { Icon } from "../components/icon.js";
import { Mark, Preferences } from "../shell.js";
import { Admin } from "./setup/admin.js";
import { Begin } from "./setup/begin.js";
import { Clock } from "./setup/clock.js";
import { Disks } from "./setup/disks.js";
import { Finish } from "./setup/finish.js";
import { Network } from "./setup/network.js";
import { OldBox } from "./setup/old_box.js";
import { RecoveryKey } from "./setup/recovery_key.js";
import { NoticesStep } from "./setup/notices.js";
import { Vault } from "./setup/vault.js";

await addStyle("../../style/setup.css", import.meta.url);

const STEPS = [
  { name: "begin", part: Begin },
  { name: "admin", part: Admin },
  { name: "clock", part: Clock },
  { name: "network", part: Network },
  { name: "disks", part: Disks },
  { name: "key", part: RecoveryKey, way: "new" },
  { name: "old", part: OldBox, way: "old" },
  { name: "vault", part: Vault, way: "new" },
  { name: "notices", part: NoticesStep },
  { name: "finish", part: Finish },
];

export default function Setup() {
  const { way, step } = useStore(progress);
  const { role } = useStore(session);
  const steps = STEPS.filter((one) => !one.way || one.way === way);
  // Nothing after the first step is possible for who is not known; nothing before it for who is.
  const wanted = steps.findIndex((one) => one.name === step);
  const index = !role ? 0 : role === "setup" ? Math.min(Math.max(wanted, 0), 1) : Math.max(wanted, 2);
  const current = steps[index];
  const top = useRef(null);
  const seen = useRef(null);
  useEffect(() => {
    document.title = `${t(`setup.${current.name}`)} · Holdfast`;
    if (seen.current !== null) top.current?.querySelector("h1")?.focus();
    seen.current = current.name;
    scrollTo(0, 0);
  }, [current]);
  const to = (offset) => () => progress.update({ step: steps[index + offset].name });
  const canGoBack = index > (role && role !== "setup" ? 2 : 0);
  return html`<div class="wizard">
    <header class="wizard-head">
      <span class="wizard-brand"><${Mark} /><strong>Holdfast</strong></span>
      <${Steps} steps=${steps} index=${index} />
      <${Preferences} />
    </header>
    <main class="wizard-main" ref=${top}>
      <${current.part} key=${current.name} next=${to(1)} back=${canGoBack ? to(-1) : null} />
    </main>
  </div>`;
}

function Steps({ steps, index }) {
  return html`<nav aria-label=${t("setup.steps")}>
    <p class="wizard-count note">${t("setup.step_of", { step: index + 1, steps: steps.length })}</p>
    <ol class="wizard-steps">${steps.map((step, at) => html`<li aria-current=${at === index ? "step" : null}
        class=${at < index ? "is-past" : ""}>
      <span class="wizard-mark">${at < index ? html`<${Icon} name="good" size=${16} />` : at + 1}</span>
      <span>${t(`setup.${step.name}`)}${at < index && html`<span class="unseen"> ${t("setup.is_done")}</span>`}</span>
    </li>`)}</ol>
  </nav>`;
}
