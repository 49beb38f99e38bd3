// Where the recovery key goes: the whole file, several lines, so that it can be pasted as it is.

import { t } from "../../i18n.js";
import { html } from "../../view.js";
import { Field } from "../../components/form.js";

export const KeyField = ({ form }) => html`<${Field} label=${t("setup.recovery_key")} hint=${t("setup.recovery_key_hint")}>
  ${(given) => html`<textarea ...${given} name="recovery_key" rows="7" class="mono" spellcheck=${false} autocomplete="off"
    value=${form.values.recovery_key} onInput=${(event) => form.set("recovery_key", event.currentTarget.value)} />`}
<//>`;
