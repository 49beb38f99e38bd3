// What this host can do and has done, as the box itself finds out; what is skipped, it remembers.

import { at, post, put } from "../../api.js";
import { has, t } from "../../i18n.js";
import { useResource } from "../../resource.js";
import { html } from "../../view.js";
import { Notice } from "../../components/trouble.js";

export const rememberWay = (way) => put("/setup/way", { way });
export const rememberSkipped = (name) => put(at`/setup/steps/${name}`, { is_skipped: true });
/** Throws the problem if it is not the key of this store. */
export const proveKey = (text) => post("/setup/key", { recovery_key: text });

/** What the box says of a step here: done, possible, or why not. */
export function HostWord({ name }) {
  const { data } = useResource("/setup/steps");
  const step = data?.steps.find((one) => one.name === name);
  const key = `setup.reason.${step?.reason}`;
  if (!step || !has(key)) return null;
  const tone = step.state === "done" ? "good" : step.state === "impossible" ? "info" : "warn";
  return html`<${Notice} tone=${tone}><p>${t(key)}</p><//>`;
}
