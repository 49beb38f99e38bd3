// What went wrong, in a sentence, and what to do: the same everywhere.

import { duration, has, language, parts, t } from "../i18n.js";
import { html } from "../view.js";
import { Button } from "./button.js";
import { Icon } from "./icon.js";

const ownWords = (problem) => problem.detail && html`<span lang="en">${problem.detail}</span>`;

/**
 * {sentence, own} of a problem of the API or of a job, in the reader's language. The box speaks
 * English and names things: where a code is as close as that, English readers get the box's line,
 * others the words of `errors`, which say where that line belongs. A code that only names a kind
 * has a sentence of the page, and the box's line below it (`own`).
 */
export function explain(problem) {
  const { code } = problem;
  if (code === "rate-limited" && problem.retryAfterS) {
    return { sentence: t("problem.rate-limited-until", { wait: duration(problem.retryAfterS) }), own: null };
  }
  if (has(`error.${code}`)) return { sentence: parts(`error.${code}`, { detail: ownWords(problem) }), own: null };
  if (has(`problem.${code}`)) return { sentence: t(`problem.${code}`), own: ownWords(problem) };
  if (problem.detail && language.value === "en") return { sentence: ownWords(problem), own: null };
  return { sentence: t(problem.status >= 500 ? "problem.server" : "problem.declined"), own: ownWords(problem) };
}

/** A box with the problem; `onRetry` gives it a button. Nothing for no problem. */
export function Trouble({ problem, onRetry }) {
  if (!problem) return null;
  const { sentence, own } = explain(problem);
  return html`<div class="notice is-bad" role="alert">
    <${Icon} name="bad" />
    <div>
      <p>${sentence}</p>
      ${own && html`<p class="note">${own}</p>`}
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
