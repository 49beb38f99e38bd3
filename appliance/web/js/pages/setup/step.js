// What every step of the wizard has: a title, what it is for, and the way on.

import { t } from "../../i18n.js";
import { html } from "../../view.js";
import { Button } from "../../components/button.js";

/** A step. Those with a form of their own give no `next`. */
export function Step({ name, children, next, back, skip, action }) {
  return html`<section class="step">
    <header><h1 tabindex="-1">${t(`setup.${name}_title`)}</h1><p class="lead">${t(`setup.${name}_lead`)}</p></header>
    ${children}
    ${(next || back || skip) && html`<div class="actions wizard-actions">
      ${next && html`<${Button} tone="main" onPress=${next}>${action || t("action.next")}<//>`}
      ${skip && html`<${Button} onPress=${skip}>${t("action.skip")}<//>`}
      ${back && html`<${Button} tone="quiet" icon="back" onPress=${back}>${t("action.back")}<//>`}
    </div>`}
  </section>`;
}
