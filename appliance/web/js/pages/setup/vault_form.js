// The fields that lead to a vault, and what is made of them for the box.

import { t } from "../../i18n.js";
import { html } from "../../view.js";
import { ChoiceField, PasswordField, TextField } from "../../components/form.js";

export const NO_VAULT = { kind: "s3", endpoint: "", bucket: "", region: "", directory: "", access_key: "", secret_key: "" };
export const SECRETS = ["secret_key"];

export const isComplete = ({ kind, ...values }) =>
  kind === "s3" ? Boolean(values.endpoint && values.bucket && values.access_key && values.secret_key) : Boolean(values.directory);

/** Address and credentials as the verbs take them. */
export function addressOf(values) {
  if (values.kind === "directory") return { url: `file://${values.directory.split("/").map(encodeURIComponent).join("/")}` };
  const endpoint = values.endpoint.includes("://") ? values.endpoint : `https://${values.endpoint}`;
  const query = new URLSearchParams({ endpoint, ...(values.region ? { region: values.region } : {}) });
  return {
    url: `s3://${values.bucket}?${query}`,
    credentials_file: `[default]\naws_access_key_id = ${values.access_key}\naws_secret_access_key = ${values.secret_key}\n`,
  };
}

export function VaultFields({ form }) {
  return html`
    <${ChoiceField} form=${form} name="kind" label=${t("setup.vault_kind")} options=${[
      { value: "s3", title: t("setup.vault_s3"), text: t("setup.vault_s3_text") },
      { value: "directory", title: t("setup.vault_directory"), text: t("setup.vault_directory_text") },
    ]} />
    ${form.values.kind === "s3"
      ? html`
        <${TextField} form=${form} name="endpoint" label=${t("setup.endpoint")} hint=${t("setup.endpoint_hint")} inputmode="url" />
        <${TextField} form=${form} name="bucket" label=${t("setup.bucket")} />
        <${TextField} form=${form} name="region" label=${t("setup.region")} isOptional />
        <${TextField} form=${form} name="access_key" label=${t("setup.access_key")} />
        <${PasswordField} form=${form} name="secret_key" label=${t("setup.secret_key")} autocomplete="off" />`
      : html`<${TextField} form=${form} name="directory" label=${t("setup.directory")} hint=${t("setup.directory_hint")} />`}`;
}
