// What will happen when the button below is pressed, said before it does.

import { t } from "../i18n.js";
import { html } from "../view.js";
import { Icon } from "./icon.js";

/** `items`: sentences; empty ones are left out. */
export function Consequences({ items, title }) {
  return html`<section class="consequences">
    <p class="consequences-title"><${Icon} name="info" /> ${title || t("consequences.title")}</p>
    <ul>${items.filter(Boolean).map((item) => html`<li>${item}</li>`)}</ul>
  </section>`;
}
