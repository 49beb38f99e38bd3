// Short news about what was just done: said to screen readers too, gone by itself, never an error.

import { Store, useStore } from "../store.js";
import { html } from "../view.js";
import { Icon } from "./icon.js";

const SHOWN_MS = 7000;
const news = new Store([]);
let count = 0;

/** Say that something worked. `link`: {href, text}. */
export function tell(text, link) {
  const item = { id: ++count, text, link };
  news.set([...news.value, item]);
  setTimeout(() => news.set(news.value.filter((other) => other !== item)), SHOWN_MS);
}

export function Toasts() {
  const items = useStore(news);
  return html`<div class="toasts" role="status" aria-live="polite">
    ${items.map((item) => html`<p class="toast" key=${item.id}>
      <${Icon} name="good" /><span>${item.text}</span>
      ${item.link && html`<a href=${item.link.href}>${item.link.text}</a>`}
    </p>`)}
  </div>`;
}
