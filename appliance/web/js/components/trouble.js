// What went wrong, in a sentence, and what to do: the same everywhere.

import { duration, has, t } from "../i18n.js";
import { html } from "../view.js";
import { Button } from "./button.js";
import { Icon } from "./icon.js";

/** The sentence for a problem of the API, in the reader's language. */
export function sentenceOf(problem) {
  const key = `problem.${problem.code}`;
  if (problem.code === "rate-limited" && problem.retryAfterS) {
    return t("problem.rate-limited-until", { wait: duration(problem.retryAfterS) });
  }
  if (has(key)) return t(key);
  return t(problem.status >= 500 ? "problem.server" : "problem.refused");
}

/** A box with the problem; `onRetry` gives it a button. Nothing for no problem. */
export function Trouble({ problem, onRetry }) {
  if (!problem) return null;
  return html`<div class="notice is-bad" role="alert">
    <${Icon} name="bad" />
    <div>
      <p>${sentenceOf(problem)}</p>
      ${problem.detail && html`<p class="note" lang="en">${problem.detail}</p>`}
      ${onRetry && html`<${Button} icon="retry" onPress=${onRetry}>${t("action.try_again")}<//>`}
    </div>
  </div>`;
}

/** A remark beside what it is about. `tone`: info, good, warn, bad. */
export function Notice({ tone = "info", title, children }) {
  return html`<div class=${`notice is-${tone}`}>
    <${Icon} name=${tone} />
    <div>${title && html`<p class="notice-title">${title}</p>`}${children}</div>
  </div>`;
}

/** What a place says while there is nothing in it: what would be here, and how it gets here. */
export function Empty({ icon, title, children, action }) {
  return html`<div class="empty">
    <${Icon} name=${icon} size=${36} />
    <h2>${title}</h2>
    <div class="prose">${children}</div>
    ${action}
  </div>`;
}

/** The three things a view of the server can be before it has data. */
export function Loading({ resource, children }) {
  if (resource.data || resource.items) {
    return html`<${Trouble} problem=${resource.problem} onRetry=${resource.reload} />${children}`;
  }
  if (resource.problem) return html`<${Trouble} problem=${resource.problem} onRetry=${resource.reload} />`;
  return html`<div class="skeleton" role="status"><span class="unseen">${t("shell.loading")}</span></div>`;
}
