// How the box is reached. Its addresses are the host's to set.

import { t } from "../../i18n.js";
import { html } from "../../view.js";
import { State } from "../../components/state.js";
import { HostWord } from "./host.js";
import { Step } from "./step.js";

export function Network({ next, back }) {
  const isByAddress = /^[\d.]+$|^\[/.test(location.hostname);
  return html`<${Step} name="network" next=${next} back=${back}>
    <p><${State} name="good" label=${t("setup.reached")} /></p>
    <dl class="facts">
      <dt>${t("setup.opened_at")}</dt><dd class="mono">${location.origin}</dd>
    </dl>
    <${HostWord} name="network" />
    <div class="prose">
      <p>${t(isByAddress ? "setup.by_address" : "setup.by_name")}</p>
      <p class="note">${t("setup.network_host")}</p>
    </div>
  <//>`;
}
