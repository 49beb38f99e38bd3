// What can be pressed. A button that works on the server is busy until the answer is there.

import { classes, html, useState } from "../view.js";
import { Icon } from "./icon.js";

/** `tone`: "main" (one in a view), "plain", "danger", "quiet". `onPress` may give a promise. */
export function Button({ tone = "plain", icon, children, onPress, type = "button", isBusy, isDisabled, label, ...rest }) {
  const [isWorking, setWorking] = useState(false);
  const busy = isBusy || isWorking;
  const press = async (event) => {
    if (busy || isDisabled) return;
    const result = onPress?.(event);
    if (!(result instanceof Promise)) return;
    setWorking(true);
    try {
      await result;
    } finally {
      setWorking(false);
    }
  };
  return html`<button type=${type} class=${classes("button", `is-${tone}`, !children && "is-icon")}
    aria-disabled=${busy || isDisabled ? "true" : null} aria-busy=${busy ? "true" : null}
    aria-label=${label} title=${label} onClick=${onPress ? press : undefined} ...${rest}>
    ${busy ? html`<span class="spinner" aria-hidden="true" />` : icon && html`<${Icon} name=${icon} />`}
    ${children && html`<span>${children}</span>`}
  </button>`;
}

/** A link that looks like a button: it leads to another page. */
export function LinkButton({ tone = "plain", icon, href, children, ...rest }) {
  return html`<a class=${classes("button", `is-${tone}`)} href=${href} ...${rest}>
    ${icon && html`<${Icon} name=${icon} />`}<span>${children}</span>
  </a>`;
}
