// Where findings go when nobody looks at the page; tried with a real message.

import { t } from "../../i18n.js";
import { html, useState } from "../../view.js";
import { Notice } from "../../components/trouble.js";
import { NoticeForm } from "../settings/notice_form.js";
import { rememberSkipped } from "./host.js";
import { Step } from "./step.js";

export function NoticesStep({ next, back }) {
  const [added, setAdded] = useState(null);
  const skip = async () => {
    await rememberSkipped("notices").catch(() => {});
    next();
  };
  return html`<${Step} name="notices" back=${back} next=${added && next} skip=${added ? null : skip}>
    ${added && html`<${Notice} tone="good"><p>${t("setup.notices_added", { name: added })}</p><//>`}
    <${NoticeForm} onAdded=${(name) => setAdded(name)} />
  <//>`;
}
