// Settings: one tab for each thing that is set once and then left alone.

import { t } from "../i18n.js";
import { may } from "../session.js";
import { html } from "../view.js";
import { Page, Tabs } from "../components/page.js";
import { Notice } from "../components/trouble.js";
import { Account } from "./settings/account.js";
import { AuditLog } from "./settings/audit.js";
import { Box } from "./settings/box.js";
import { Certificates } from "./settings/certificates.js";
import { Host } from "./settings/host.js";
import { Notices } from "./settings/notices.js";
import { Support } from "./settings/support.js";
import { Tokens } from "./settings/tokens.js";
import { Updates } from "./settings/updates.js";
import { Users } from "./settings/users.js";

/** Order is that of the tabs; `role` is who may open it. */
const TABS = [
  { id: "account", role: "viewer", part: Account },
  { id: "users", role: "admin", part: Users },
  { id: "tokens", role: "admin", part: Tokens },
  { id: "certificates", role: "admin", part: Certificates },
  { id: "notices", role: "admin", part: Notices },
  { id: "box", role: "viewer", part: Box },
  { id: "host", role: "admin", part: Host },
  { id: "updates", role: "admin", part: Updates },
  { id: "support", role: "admin", part: Support },
  { id: "audit", role: "admin", part: AuditLog },
];

export default function Settings({ params }) {
  const open = TABS.filter((tab) => may(tab.role));
  const current = TABS.find((tab) => tab.id === (params.tab || "account"));
  const items = open.map((tab) => ({
    href: `#/settings/${tab.id}`, text: t(`settings.${tab.id}`), isCurrent: tab === current,
  }));
  return html`<${Page} title=${t("nav.settings")}>
    <${Tabs} label=${t("nav.settings")} items=${items} />
    ${!current || !may(current.role)
      ? html`<${Notice} tone="warn"><p>${t(current ? "problem.forbidden" : "shell.not_found")}</p><//>`
      : html`<${current.part} />`}
  <//>`;
}
