// What a finding says, in the reader's language. The box itself speaks English; what its rules mean
// stands in the catalogue `rules`, by the rule. Names and figures are in the box's own sentence.

import { has, t } from "../i18n.js";
import { html } from "../view.js";

/** The part of a rule that has words: some end in the name of a disk, a port or a vault. */
function keyOf(rule) {
  const [area, name] = rule.split(".");
  return [`${area}.${name}`, area].find((key) => has(`rule.${key}.what`));
}

const own = (text) => html`<span lang="en">${text}</span>`;

/** {title, own, consequence, action}: `own` is the box's sentence where the title is not that. */
export function describeFinding(finding) {
  const key = keyOf(finding.rule);
  if (!key) {
    return { title: own(finding.summary), own: null, consequence: finding.consequence && own(finding.consequence), action: own(finding.action) };
  }
  return {
    title: t(`rule.${key}.what`),
    own: own(`${finding.summary}. ${finding.action}`),
    consequence: t(`rule.${key}.then`),
    action: t(`rule.${key}.do`),
  };
}
