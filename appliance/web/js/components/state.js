// How things are: a symbol, a colour and a word, always all three.

import { t } from "../i18n.js";
import { classes, html } from "../view.js";
import { Icon } from "./icon.js";

/** Tone and symbol of the states that the API knows, whatever they are states of. */
const LOOKS = {
  protected: ["good", "good"], good: ["good", "good"], done: ["good", "good"], ok: ["good", "good"],
  passed: ["good", "good"], delivered: ["good", "good"], active: ["good", "good"],
  late: ["warn", "late"], gaps: ["warn", "warn"], warning: ["warn", "warn"], doubtful: ["warn", "warn"],
  interrupted: ["warn", "warn"], degraded: ["warn", "warn"], waiting: ["warn", "late"],
  failed: ["bad", "bad"], critical: ["bad", "bad"], bad: ["bad", "bad"],
  running: ["info", "busy"], rebuilding: ["info", "busy"],
  queued: ["idle", "late"], new: ["idle", "idle"], retired: ["idle", "idle"], cancelled: ["idle", "idle"],
  paused: ["idle", "paused"], info: ["info", "info"], unknown: ["idle", "unknown"],
};

export const toneOf = (state) => (LOOKS[state] || LOOKS.unknown)[0];

/** `label` is the word; without one it is `state.NAME` of the catalogue. */
export function State({ name, label, isLarge = false }) {
  const [tone, icon] = LOOKS[name] || LOOKS.unknown;
  return html`<span class=${classes("state", `is-${tone}`, isLarge && "is-large")}>
    <${Icon} name=${icon} size=${isLarge ? 22 : 16} />
    <span>${label ?? t(`state.${name in LOOKS ? name : "unknown"}`)}</span>
  </span>`;
}

/** A number with its name, as the cards of a page show it. */
export function Figure({ label, value, note }) {
  return html`<div class="figure">
    <dt>${label}</dt>
    <dd>${value}</dd>
    ${note && html`<dd class="note">${note}</dd>`}
  </div>`;
}

/** A bar that says how much of something is used; `tone` colours it, the text says it. */
export function Meter({ label, share, text, tone = "accent" }) {
  const value = Math.max(0, Math.min(1, share || 0));
  return html`<div class=${classes("meter", `is-${tone}`)}>
    <div class="meter-text"><span>${label}</span><span class="digits">${text}</span></div>
    <div class="track" role="meter" aria-label=${label} aria-valuemin="0" aria-valuemax="100"
      aria-valuenow=${Math.round(value * 100)} aria-valuetext=${text}>
      <div class="fill" style=${{ width: `${value * 100}%` }} />
    </div>
  </div>`;
}
