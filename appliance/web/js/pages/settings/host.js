// What the operating system is told of the box, as far as it lets itself be told.

import { html } from "../../view.js";
import { NameCard, PortCards, TimeCard, useHost } from "../../components/host_settings.js";
import { Loading } from "../../components/trouble.js";

export function Host() {
  const host = useHost();
  return html`<${Loading} resource=${host}>${host.data && html`<div class="stack">
    <${NameCard} host=${host.data} reload=${host.reload} />
    <${TimeCard} host=${host.data} reload=${host.reload} />
    <${PortCards} host=${host.data} />
  </div>`}<//>`;
}
