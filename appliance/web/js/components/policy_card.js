// What is promised to a machine, as a sentence, and the form that changes it.

import { html, useState } from "../view.js";
import { moment, t } from "../i18n.js";
import { useAnswer } from "../answer.js";
import { settle } from "../api.js";
import { may } from "../session.js";
import { Button } from "./button.js";
import { Consequences } from "./consequences.js";
import { ChoiceField, Form, NumberField, TextField, useForm } from "./form.js";
import { Card } from "./page.js";
import { describeKept, describeProtection } from "./policy_words.js";
import { Loading } from "./trouble.js";

const KEEP = ["last", "hourly", "daily", "weekly", "monthly", "yearly"];

/** `settings` is the answer of `machines show`. */
export function PolicyCard({ name, settings }) {
  const [isOpen, setOpen] = useState(false);
  const data = settings.data?.policy;
  const saved = async () => {
    setOpen(false);
    await settings.reload();
  };
  const edit = !isOpen && may("admin") && html`<${Button} onPress=${() => setOpen(true)}>${t("action.edit")}<//>`;
  return html`<${Card} title=${t("policy.title")} action=${edit}>
    <${Loading} resource=${settings}>
      ${data && html`<p>${describeProtection(data.protection)}</p>
        <p>${describeKept(data.policy)}</p>
        ${data.next_slots?.length > 0 && html`<p class="note">${t("policy.next", { times: data.next_slots.map((time) => moment(time)).join(" · ") })}</p>`}`}
      ${data && isOpen && html`<${Edit} ...${{ name, data }} onClose=${() => setOpen(false)} onSaved=${saved} />`}
    <//>
  <//>`;
}

function Edit({ name, data, onClose, onSaved }) {
  const presets = useAnswer("policy presets").data?.presets ?? [];
  const form = useForm(valuesOf(data), {
    draft: `policy.${name}`,
    onSubmit: async (values) => {
      await settle("policy set", argumentsOf(name, values));
      await onSaved();
    },
  });
  const { values } = form;
  const preset = presets.find((one) => one.name === values.preset);
  const options = [...presets.map((one) => one.name), "own"].map((value) => ({
    value, title: t(`policy.preset.${value}`), text: t(`policy.preset.${value}_text`),
  }));
  return html`<${Form} form=${form} action=${t("action.save")} more=${html`<${Button} onPress=${onClose}>${t("action.cancel")}<//>`}>
    <${ChoiceField} form=${form} name="preset" label=${t("policy.choose")} options=${options} />
    ${values.preset === "own"
      ? html`<${OwnFields} form=${form} />`
      : preset && html`<${Consequences} title=${t("policy.promises")} items=${[describeProtection(preset.protection), describeKept(preset.policy)]} />`}
  <//>`;
}

function OwnFields({ form }) {
  return html`<${TextField} form=${form} name="at" label=${t("policy.at")} hint=${t("policy.at_hint")} />
    <${TextField} form=${form} name="blackout" label=${t("policy.pauses")} hint=${t("policy.pauses_hint")} isOptional />
    <${TextField} form=${form} name="drill" label=${t("policy.rehearse")} hint=${t("policy.rehearse_hint")} isOptional />
    <div class="grid">
      <${NumberField} form=${form} name="rpo" label=${t("policy.rpo_h")} min="0" step="any" isOptional />
      <${NumberField} form=${form} name="rto" label=${t("policy.rto_h")} min="0" step="any" isOptional />
      <${NumberField} form=${form} name="offsite_rpo" label=${t("policy.offsite_h")} min="0" step="any" isOptional />
    </div>
    <fieldset class="grid">
      <legend>${t("policy.keep_title")}</legend>
      ${KEEP.map((rule) => html`<${NumberField} form=${form} name=${`keep_${rule}`} label=${t(`policy.keep_name.${rule}`)} min="0" isOptional key=${rule} />`)}
    </fieldset>`;
}

/** The form's values of what holds now. Several schedules stand in one line, with semicolons. */
function valuesOf({ protection, policy, schedule, drill }) {
  const hours = (seconds) => (seconds ? seconds / 3600 : null);
  return {
    preset: protection.preset || "own",
    at: schedule.join("; "),
    drill: drill.join("; "),
    blackout: (protection.blackout ?? []).join("; "),
    rpo: hours(protection.rpo_s),
    rto: hours(protection.rto_s),
    offsite_rpo: hours(protection.offsite_rpo_s),
    ...Object.fromEntries(KEEP.map((rule) => [`keep_${rule}`, policy[`keep_${rule}`] || null])),
  };
}

/** Arguments of `policy set`. What was emptied is said so: it would stay as it is otherwise. */
function argumentsOf(machine, values) {
  if (values.preset !== "own") return { machine, preset: values.preset };
  const lines = (text, none) => {
    const found = text.split(";").map((part) => part.trim()).filter(Boolean);
    return found.length ? found : [none];
  };
  const kept = Object.fromEntries(
    KEEP.map((rule) => [`keep_${rule}`, values[`keep_${rule}`]]).filter(([, count]) => count > 0),
  );
  return {
    machine,
    at: lines(values.at, "never"),
    drill: lines(values.drill, "never"),
    blackout: lines(values.blackout, "none"),
    rpo: values.rpo ?? 0,
    rto: values.rto ?? 0,
    offsite_rpo: values.offsite_rpo ?? 0,
    ...(Object.keys(kept).length ? kept : { keep_days: "forever" }),
  };
}
