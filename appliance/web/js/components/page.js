// The frame of a page: its title, what can be done here, and the tabs of those that have some.

import { classes, html } from "../view.js";
import { Icon } from "./icon.js";

/** `back`: {href, text} of the page above. `actions`: buttons. `lead`: one sentence below. */
export function Page({ title, lead, back, actions, children }) {
  return html`<div class="page">
    <header class="page-head">
      <div>
        ${back && html`<a class="back" href=${back.href}><${Icon} name="back" size=${16} /> ${back.text}</a>`}
        <h1 tabindex="-1">${title}</h1>
        ${lead && html`<p class="lead">${lead}</p>`}
      </div>
      ${actions && html`<div class="actions">${actions}</div>`}
    </header>
    ${children}
  </div>`;
}

/** A titled part of a page. */
export function Card({ title, action, children, isWide }) {
  return html`<section class=${classes("card", isWide && "is-wide")}>
    ${(title || action) && html`<header class="card-head">${title && html`<h2>${title}</h2>`}${action}</header>`}
    ${children}
  </section>`;
}

/** Links to the parts of a page. `items`: {href, text, isCurrent}. */
export function Tabs({ label, items }) {
  return html`<nav class="tabs" aria-label=${label}>
    ${items.map((item) => html`<a href=${item.href} aria-current=${item.isCurrent ? "page" : null}>${item.text}</a>`)}
  </nav>`;
}
