// The last step leads to the first machine.

import { t } from "../../i18n.js";
import { go } from "../../router.js";
import { leaveSetup, progress } from "../../setup_progress.js";
import { html } from "../../view.js";
import { Button } from "../../components/button.js";
import { Icon } from "../../components/icon.js";
import { Step } from "./step.js";

export function Finish({ back }) {
  const { way } = progress.value;
  const leave = (path) => () => {
    leaveSetup();
    go(path);
  };
  return html`<${Step} name="finish" back=${back}>
    <ul class="stack">
      ${["settings", "drill", "paper"].map((name) => html`<li class="row"><${Icon} name="info" /> <span>${t(`setup.then_${name}`)}</span></li>`)}
    </ul>
    <div class="actions">
      ${way === "new" && html`<${Button} tone="main" icon="add" onPress=${leave("/protect")}>${t("setup.first_machine")}<//>`}
      <${Button} tone=${way === "new" ? "plain" : "main"} icon="home" onPress=${leave("/")}>${t("setup.to_home")}<//>
    </div>
  <//>`;
}
