// A secret that is shown one time: to be copied, printed or written down, and then closed.

import { t } from "../i18n.js";
import { html, useState } from "../view.js";
import { Button } from "./button.js";
import { Notice } from "./trouble.js";

/** `text` in a monospaced block; `name` says what it is. */
export function Secret({ name, text }) {
  const [isCopied, setCopied] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setCopied(true);
  };
  return html`<div class="secret">
    <pre class="mono sheet" tabindex="0" aria-label=${name} translate="no">${text}</pre>
    <div class="actions">
      <${Button} icon="copy" onPress=${copy}>${t("action.copy")}<//>
      <span class="note" role="status">${isCopied ? t("action.copied") : ""}</span>
    </div>
  </div>`;
}

/** The remark above it. */
export const OnlyNow = ({ children }) =>
  html`<${Notice} tone="warn" title=${t("once.title")}><p>${children}</p><//>`;
