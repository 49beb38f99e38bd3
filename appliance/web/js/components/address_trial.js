// Addresses on trial: they go back unless somebody who still reaches the box keeps them.

import { ask, get } from "../api.js";
import { duration, t } from "../i18n.js";
import { useNow } from "../resource.js";
import { may } from "../session.js";
import { Store, useStore } from "../store.js";
import { html, useEffect, useState } from "../view.js";
import { Button } from "./button.js";
import { tell } from "./toast.js";
import { Notice, Trouble } from "./trouble.js";

const LOOK_MS = 2000;

/** {port, ends_at} of the trial that the box told of, or null. */
export const addressTrial = new Store(null);

/** Ask the box; one that does not answer, as happens when its address changes, tells nothing. */
export async function lookForTrial() {
  const box = await get("/box").catch(() => null);
  if (box) addressTrial.set(box.address_trial);
}

export function AddressTrial() {
  const trial = useStore(addressTrial);
  useEffect(() => void lookForTrial(), []);
  return trial && may("admin") ? html`<${OnTrial} key=${trial.port} trial=${trial} />` : null;
}

function OnTrial({ trial }) {
  const now = useNow(1);
  const [problem, setProblem] = useState(null);
  useEffect(() => {
    const timer = setInterval(lookForTrial, LOOK_MS);
    return () => clearInterval(timer);
  }, []);
  const end = (verb, words) => async () => {
    setProblem(null);
    try {
      await ask(verb);
      tell(words);
    } catch (error) {
      setProblem(error);
    }
    await lookForTrial();
  };
  const left = Math.max(0, Math.round((new Date(trial.ends_at) - now) / 1000));
  return html`<div class="stack">
    <${Notice} tone="warn" title=${t("trial.title", { port: trial.port })}>
      <p>${t("trial.text", { time: duration(left) })}</p>
      <div class="actions">
        <${Button} tone="main" onPress=${end("box keep", t("trial.kept"))}>${t("trial.keep")}<//>
        <${Button} onPress=${end("box undo", t("trial.undone"))}>${t("trial.undo")}<//>
      </div>
    <//>
    <${Trouble} problem=${problem} />
  </div>`;
}
