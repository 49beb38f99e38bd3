// First: in which language, a new box or an old one, and the code that proves one stands at the box.

import { get, post } from "../../api.js";
import { LANGUAGES, language, setLanguage, t } from "../../i18n.js";
import { renewSession, session } from "../../session.js";
import { progress } from "../../setup_progress.js";
import { useStore } from "../../store.js";
import { html, useEffect, useState } from "../../view.js";
import { Button } from "../../components/button.js";
import { ChoiceField, Form, TextField, useForm } from "../../components/form.js";
import { Notice, Trouble } from "../../components/trouble.js";
import { Step } from "./step.js";

export function Begin({ next }) {
  const tongue = useStore(language);
  const { role } = useStore(session);
  const { way } = useStore(progress);
  const [facts, setFacts] = useState({ setup: null, problem: null });
  const look = () => get("/setup", { isFinal: true })
    .then((setup) => setFacts({ setup, problem: null }))
    .catch((problem) => setFacts({ setup: null, problem }));
  useEffect(() => void look(), []);
  const form = useForm({ code: "", way }, {
    onSubmit: async (values) => {
      progress.update({ isActive: true, way: values.way });
      if (role !== "setup") {
        await post("/setup/open", { code: values.code.trim() }, { isFinal: true });
        await renewSession();
      }
      next();
    },
  });
  const isClosed = facts.setup?.state === "closed" && role !== "setup";
  return html`<${Step} name="begin">
    <div class="row" role="group" aria-label=${t("shell.language")}>
      ${Object.entries(LANGUAGES).map(([id, name]) => html`<${Button} tone=${id === tongue ? "main" : "plain"}
        aria-pressed=${id === tongue ? "true" : "false"} lang=${id} onPress=${() => setLanguage(id)}>${name}<//>`)}
    </div>
    <${Trouble} problem=${facts.problem} onRetry=${look} />
    ${isClosed
      ? html`<${Notice} tone="warn" title=${t("setup.closed_title")}><p>${t("setup.closed_text")}</p>
          <${Button} icon="retry" onPress=${look}>${t("action.try_again")}<//><//>`
      : html`<${Form} form=${form} action=${t("action.next")} isReady=${role === "setup" || form.values.code.trim() !== ""}>
          <${ChoiceField} form=${form} name="way" label=${t("setup.way")} options=${[
            { value: "new", title: t("setup.way_new"), text: t("setup.way_new_text") },
            { value: "old", title: t("setup.way_old"), text: t("setup.way_old_text") },
          ]} />
          ${role !== "setup" && html`<${TextField} form=${form} name="code" label=${t("setup.code")} hint=${t("setup.code_hint")} />`}
        <//>`}
  <//>`;
}
