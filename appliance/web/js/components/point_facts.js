// What is known of one point: where it is, how sure it is, and the steps to its neighbours.

import { html } from "../view.js";
import { moment, relative, size, t } from "../i18n.js";
import { Button } from "./button.js";
import { Icon } from "./icon.js";
import { nameOfPlace } from "./timeline.js";
import { isDoubtful } from "./timeline_scale.js";

/** Earlier and later, with the moment between. */
export function PointSteps({ points, selected, onSelect }) {
  const point = points[selected];
  return html`<div class="point-steps">
    <${Button} icon="back" isDisabled=${selected === 0} onPress=${() => onSelect(selected - 1)}>
      ${t("point.earlier")}
    <//>
    <p>
      <strong>${moment(point.time)}</strong>
      <span class="note">${relative(point.time)}</span>
    </p>
    <${Button} icon="next" isDisabled=${selected === points.length - 1} onPress=${() => onSelect(selected + 1)}>
      ${t("point.later")}
    <//>
  </div>`;
}

/** Facts as a row of small statements, each with a symbol. */
export function PointFacts({ point }) {
  const total = point.disks.reduce((sum, disk) => sum + disk.size_bytes, 0);
  const facts = [
    ...point.where.map((place) => [place === "box" ? "box" : "vault", nameOfPlace(place)]),
    ["disks", t("point.disks", { count: point.disks.length, size: size(total) })],
    ["add", t("point.new", { size: size(point.new_bytes) })],
    point.is_held && ["lock", t("timeline.held"), "info"],
    point.immutable_until && ["shield", t("point.immutable", { until: moment(point.immutable_until) }), "info"],
    point.drilled_at
      ? ["good", t("point.proven", { when: moment(point.drilled_at) }), "good"]
      : ["idle", t("point.unproven")],
    point.is_inconsistent && ["info", t("point.inconsistent")],
    isDoubtful(point) && ["warn", t(`point.state.${point.state === "complete" ? "doubtful" : point.state}`), "warn"],
  ];
  return html`<ul class="point-facts">
    ${facts.filter(Boolean).map(
      ([icon, text, tone]) => html`<li class=${tone && `is-${tone}`}><${Icon} name=${icon} size=${16} />${text}</li>`,
    )}
  </ul>`;
}
