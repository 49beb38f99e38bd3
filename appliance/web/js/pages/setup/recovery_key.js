// The store is made, and with it the key that opens it when the box is gone: shown, printed, retyped.

import { post } from "../../api.js";
import { t } from "../../i18n.js";
import { html, useMemo, useState } from "../../view.js";
import { Button } from "../../components/button.js";
import { ChoiceField, Form, PasswordField, TextField, useForm } from "../../components/form.js";
import { OnlyNow, Secret } from "../../components/once.js";
import { useResource } from "../../resource.js";
import { Notice } from "../../components/trouble.js";
import { proveKey } from "./host.js";
import { Step } from "./step.js";

export function RecoveryKey({ next, back }) {
  const setup = useResource("/setup");
  const [key, setKey] = useState(null);
  const [isRetyping, setRetyping] = useState(false);
  if (key && isRetyping) return html`<${Retype} text=${key} next=${next} back=${() => setRetyping(false)} />`;
  if (key) return html`<${Show} text=${key} next=${() => setRetyping(true)} />`;
  if (setup.data?.has_store) {
    return html`<${Step} name="key" next=${next} back=${back}>
      <${Notice} tone="good"><p>${t("setup.store_exists")}</p><//><//>`;
  }
  return html`<${Make} back=${back} onMade=${setKey} />`;
}

function Make({ back, onMade }) {
  const form = useForm({ opening: "box", passphrase: "", again: "" }, {
    secrets: ["passphrase", "again"],
    onSubmit: async (values) => {
      const made = await post("/setup/store", values.opening === "passphrase" ? { passphrase: values.passphrase } : {});
      onMade(made.recovery_key);
    },
  });
  const { values } = form;
  const isPassphrase = values.opening === "passphrase";
  const differs = values.again !== "" && values.again !== values.passphrase;
  return html`<${Step} name="key" back=${back}>
    <${Form} form=${form} action=${t("setup.make_store")} icon="key"
      isReady=${!isPassphrase || (values.passphrase !== "" && values.passphrase === values.again)}>
      <${ChoiceField} form=${form} name="opening" label=${t("setup.opening")} options=${[
        { value: "box", title: t("setup.opening_box"), text: t("setup.opening_box_text") },
        { value: "passphrase", title: t("setup.opening_passphrase"), text: t("setup.opening_passphrase_text") },
      ]} />
      ${isPassphrase && html`
        <${PasswordField} form=${form} name="passphrase" label=${t("setup.passphrase")} hint=${t("signin.new_hint")} autocomplete="off" />
        <${PasswordField} form=${form} name="again" label=${t("signin.again")} autocomplete="off" wrong=${differs ? t("signin.differs") : null} />`}
    <//>
  <//>`;
}

function Show({ text, next }) {
  return html`<${Step} name="key" next=${next} action=${t("setup.key_written")}>
    <${OnlyNow}>${t("setup.key_why")}<//>
    <div class="paper"><${Secret} name=${t("setup.recovery_key")} text=${text} /></div>
    <div class="actions"><${Button} icon="print" onPress=${() => print()}>${t("action.print")}<//></div>
  <//>`;
}

/** Rows of words as the key's file has them: number, words, check digits. */
export const rowsOf = (text) =>
  [...text.matchAll(/^\s*(\d+)\s+((?:[a-z]+ +)+?)\s*(\d\d)\s*$/gm)].map((row) => ({
    number: Number(row[1]), words: row[2].trim().split(/ +/),
  }));

const plain = (text) => text.toLowerCase().match(/[a-z]+/g)?.join(" ") || "";

/** Two rows, chosen by chance, prove that the paper is there and can be read. */
function Retype({ text, next, back }) {
  const rows = useMemo(() => {
    const all = rowsOf(text);
    const first = Math.floor(Math.random() * all.length);
    const second = (first + 1 + Math.floor(Math.random() * (all.length - 1))) % all.length;
    return [first, second].sort().map((at) => all[at]);
  }, [text]);
  const form = useForm({ first: "", second: "" }, {
    secrets: ["first", "second"],
    onSubmit: async () => {
      await proveKey(text);
      next();
    },
  });
  const isRight = (row, typed) => plain(typed) === row.words.join(" ");
  const wrong = (row, typed) => (typed && plain(typed).split(" ").length >= row.words.length && !isRight(row, typed) ? t("setup.row_wrong") : null);
  const [one, two] = rows;
  return html`<${Step} name="retype" back=${back}>
    <${Form} form=${form} action=${t("action.next")} isReady=${isRight(one, form.values.first) && isRight(two, form.values.second)}>
      <${TextField} form=${form} name="first" label=${t("setup.row", { number: one.number })} wrong=${wrong(one, form.values.first)} />
      <${TextField} form=${form} name="second" label=${t("setup.row", { number: two.number })} wrong=${wrong(two, form.values.second)} />
    <//>
  <//>`;
}
