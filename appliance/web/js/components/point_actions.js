// What can be done with a point itself: recover it, hold it, let it go, forget it, prove it.

import { html } from "../view.js";
import { moment, t } from "../i18n.js";
import { href } from "../router.js";
import { Action } from "./action.js";
import { LinkButton } from "./button.js";

export function PointActions({ point, onChange }) {
  const recover = `${href("/recover", point.machine)}?point=${encodeURIComponent(point.time)}`;
  const when = moment(point.time);
  const release = { title: t("point.release"), body: t("point.release_text", { when }), action: t("point.release") };
  const forget = { title: t("point.forget"), body: t("point.forget_text", { when }), action: t("point.forget") };
  return html`<div class="point-actions">
    <${LinkButton} tone="main" icon="recover" href=${recover}>${t("point.recover")}<//>
    <${LinkButton} icon="folder" href=${href("/files", point.machine, point.time)}>${t("point.browse")}<//>
    ${point.is_held
      ? html`<${Action} verb="release" values=${{ point: point.name }} label=${t("point.release")} icon="unlock" tone="plain"
          role="admin" confirm=${release} onEnd=${onChange} />`
      : html`<${Action} verb="hold" values=${{ point: point.name }} label=${t("point.hold")} icon="lock" tone="plain"
            onEnd=${onChange} />
          <${Action} verb="forget" values=${{ point: point.name }} label=${t("point.forget")} tone="quiet" role="admin"
            confirm=${forget} onEnd=${onChange} />`}
  </div>`;
}
