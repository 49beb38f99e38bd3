// When and how fast the box sends: windows, rate, share, budget. A sync that runs follows at once.

import { html, useState } from "../view.js";
import { number, percent, rate, roughly, size, t } from "../i18n.js";
import { settle } from "../api.js";
import { may } from "../session.js";
import { Button } from "./button.js";
import { Form, NumberField, TextField, useForm } from "./form.js";
import { Card } from "./page.js";

const MIB = 1024 ** 2;
const GIB = 1024 ** 3;

export function VaultLimits({ vault, onEnd }) {
  const [isOpen, setOpen] = useState(false);
  const edit = !isOpen && may("admin") && html`<${Button} onPress=${() => setOpen(true)}>${t("action.edit")}<//>`;
  const saved = async () => {
    setOpen(false);
    await onEnd();
  };
  return html`<${Card} title=${t("vault.limits")} action=${edit}>
    ${isOpen
      ? html`<${Edit} vault=${vault} onSaved=${saved} onClose=${() => setOpen(false)} />`
      : html`<dl class="facts">
          <dt>${t("vault.windows")}</dt><dd>${vault.windows.length ? vault.windows.join("; ") : t("vault.always")}</dd>
          <dt>${t("vault.limit")}</dt><dd>${vault.limit_bytes_per_s ? rate(vault.limit_bytes_per_s) : t("vault.no_limit")}</dd>
          <dt>${t("vault.share")}</dt><dd>${percent(vault.share_percent / 100)}</dd>
          <dt>${t("vault.budget")}</dt><dd>${vault.budget_bytes_per_day ? size(vault.budget_bytes_per_day) : t("vault.no_limit")}</dd>
          <dt>${t("vault.target")}</dt><dd>${roughly(vault.rpo_s)}</dd>
        </dl>`}
  <//>`;
}

function Edit({ vault, onSaved, onClose }) {
  const rounded = (value) => Number(number(value, 2).replaceAll(",", ""));
  const form = useForm({
    windows: vault.windows.join("; "),
    rate: vault.limit_bytes_per_s ? rounded(vault.limit_bytes_per_s / MIB) : null,
    share: vault.share_percent,
    budget: vault.budget_bytes_per_day ? rounded(vault.budget_bytes_per_day / GIB) : null,
    rpo: vault.rpo_s / 3600,
  }, {
    draft: `vault.${vault.name}`,
    onSubmit: async (values) => {
      await settle("vault limit", argumentsOf(vault, values));
      await onSaved();
    },
  });
  return html`<${Form} form=${form} action=${t("action.save")} more=${html`<${Button} onPress=${onClose}>${t("action.cancel")}<//>`}>
    <${TextField} form=${form} name="windows" label=${t("vault.windows")} hint=${t("vault.windows_hint")} isOptional />
    <${NumberField} form=${form} name="rate" label=${t("vault.limit_mib")} hint=${t("vault.limit_hint")} min="0" step="any" isOptional />
    <${NumberField} form=${form} name="share" label=${t("vault.share_percent")} min="1" max="100" />
    <${NumberField} form=${form} name="budget" label=${t("vault.budget_gib")} min="0" step="any" isOptional />
    <${NumberField} form=${form} name="rpo" label=${t("vault.target_h")} min="0" step="any" />
  <//>`;
}

function argumentsOf(vault, values) {
  const windows = values.windows.split(";").map((part) => part.trim()).filter(Boolean);
  return {
    name: vault.name,
    window: windows.length ? windows : ["always"],
    rate: values.rate ?? 0,
    share: values.share ?? 80,
    budget: values.budget ?? 0,
    rpo: values.rpo ?? 24,
  };
}
