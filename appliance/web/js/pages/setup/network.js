// How the box is called and reached, and its addresses where the host lets them be set.

import { t } from "../../i18n.js";
import { html } from "../../view.js";
import { AddressTrial } from "../../components/address_trial.js";
import { NameCard, PortCards, useHost } from "../../components/host_settings.js";
import { State } from "../../components/state.js";
import { Loading } from "../../components/trouble.js";
import { HostWord } from "./host.js";
import { Step } from "./step.js";

export function Network({ next, back }) {
  const host = useHost();
  const isByAddress = /^[\d.]+$|^\[/.test(location.hostname);
  return html`<${Step} name="network" next=${next} back=${back}>
    <${AddressTrial} />
    <p><${State} name="good" label=${t("setup.reached")} /></p>
    <dl class="facts">
      <dt>${t("setup.opened_at")}</dt><dd class="mono">${location.origin}</dd>
    </dl>
    <${HostWord} name="network" />
    <${Loading} resource=${host}>${host.data && html`
      <${NameCard} host=${host.data} reload=${host.reload} />
      <${PortCards} host=${host.data} />`}<//>
    <div class="prose">
      <p>${t(isByAddress ? "setup.by_address" : "setup.by_name")}</p>
      <p class="note">${t("setup.network_host")}</p>
    </div>
  <//>`;
}
