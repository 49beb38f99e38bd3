// Is the box's clock right? Points are named by time, and locks in a vault are counted by it.

import { get } from "../../api.js";
import { duration, moment, t } from "../../i18n.js";
import { useResource } from "../../resource.js";
import { html, useEffect, useState } from "../../view.js";
import { TimeCard, useHost } from "../../components/host_settings.js";
import { State } from "../../components/state.js";
import { Loading, Notice } from "../../components/trouble.js";
import { HostWord } from "./host.js";
import { Step } from "./step.js";

const FINE_S = 30;

export function Clock({ next, back }) {
  const box = useResource("/box");
  const host = useHost();
  const [differenceS, setDifference] = useState(null);
  useEffect(() => {
    const began = Date.now();
    get("/box").then((now) => setDifference((new Date(now.time) - (began + Date.now()) / 2) / 1000), () => {});
  }, []);
  const isFine = differenceS !== null && Math.abs(differenceS) < FINE_S;
  return html`<${Step} name="clock" next=${next} back=${back}>
    <${Loading} resource=${box}>
      <dl class="facts">
        <dt>${t("setup.box_time")}</dt><dd>${moment(box.data?.time)}</dd>
        <dt>${t("setup.your_zone")}</dt><dd>${Intl.DateTimeFormat().resolvedOptions().timeZone}</dd>
      </dl>
      ${differenceS !== null && html`<p><${State} name=${isFine ? "good" : "warning"}
        label=${isFine ? t("setup.clock_fine") : t("setup.clock_differs", { time: duration(Math.abs(differenceS)) })} /></p>`}
      ${differenceS !== null && !isFine && html`<${Notice} tone="warn"><p>${t("setup.clock_fix")}</p><//>`}
      <${HostWord} name="time" />
      <${Loading} resource=${host}>${host.data && html`<${TimeCard} host=${host.data} reload=${host.reload} isFirst />`}<//>
      <p class="note">${t("setup.clock_host")}</p>
    <//>
  <//>`;
}
