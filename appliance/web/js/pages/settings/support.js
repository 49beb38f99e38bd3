// The support bundle: how the box is, without its secrets.

import { t } from "../../i18n.js";
import { html } from "../../view.js";
import { LinkButton } from "../../components/button.js";
import { Consequences } from "../../components/consequences.js";
import { Card } from "../../components/page.js";

export function Support() {
  return html`<${Card} title=${t("settings.support")}>
    <p class="lead">${t("support.lead")}</p>
    <${Consequences} title=${t("support.inside")} items=${[t("support.inside_1"), t("support.inside_2"), t("support.inside_3")]} />
    <div class="actions"><${LinkButton} tone="main" icon="download" href="/api/v1/bundle" download>${t("support.action")}<//></div>
    <p class="note">${t("support.patience")}</p>
  <//>`;
}
