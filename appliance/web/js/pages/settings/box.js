// The box itself: which program it runs, and whether the store is open.

import { run } from "../../api.js";
import { moment, t } from "../../i18n.js";
import { useResource } from "../../resource.js";
import { may } from "../../session.js";
import { html, useState } from "../../view.js";
import { Button } from "../../components/button.js";
import { confirmFirst } from "../../components/dialog.js";
import { Card } from "../../components/page.js";
import { State } from "../../components/state.js";
import { tell } from "../../components/toast.js";
import { Loading, Trouble } from "../../components/trouble.js";
import { RecoveryKey } from "./recovery_key.js";

export function Box() {
  const box = useResource("/box", { on: ["box"] });
  const [problem, setProblem] = useState(null);
  const lock = async () => {
    setProblem(null);
    const isAgreed = await confirmFirst({ title: t("box.lock_title"), body: t("box.lock_body"), action: t("box.lock"), tone: "danger" });
    if (!isAgreed) return;
    try {
      await run("lock");
      tell(t("box.lock_asked"));
      await box.reload();
    } catch (error) {
      setProblem(error);
    }
  };
  return html`<${Loading} resource=${box}>${box.data && html`<div class="grid">
    <${Card} title=${t("settings.box")}>
      <dl class="facts">
        <dt>${t("box.name")}</dt><dd>${box.data.name}</dd>
        <dt>${t("box.time")}</dt><dd>${moment(box.data.time)}</dd>
      </dl>
      <p class="note">${t("box.time_text")}</p>
    <//>
    <${Card} title=${t("box.store")}>
      <p><${State} name=${box.data.is_unlocked ? "good" : "warning"} label=${t(box.data.is_unlocked ? "box.open" : "box.locked")} /></p>
      <p>${t(box.data.is_unlocked ? "box.open_text" : "box.locked_text")}</p>
      <${Trouble} problem=${problem} />
      ${may("admin") && box.data.is_unlocked && html`<div class="actions"><${Button} icon="lock" onPress=${lock}>${t("box.lock")}<//></div>`}
    <//>
    ${may("admin") && html`<${RecoveryKey} />`}
    <${Card} title=${t("box.updates")}>
      <dl class="facts"><dt>${t("box.version")}</dt><dd class="digits">${box.data.version}</dd></dl>
      <p class="note">${t("box.updates_text")}</p>
    <//>
  </div>`}<//>`;
}
