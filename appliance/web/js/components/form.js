// Forms that lose nothing: values are kept as a draft until the server has taken them.

import { classes, html, useEffect, useId, useRef, useState } from "../view.js";
import { Button } from "./button.js";
import { Trouble } from "./trouble.js";
import { t } from "../i18n.js";

function readDraft(name) {
  try {
    return JSON.parse(sessionStorage.getItem(name)) || {};
  } catch {
    return {};
  }
}

/**
 * {values, set, problem, isBusy, submit, reset}. With `draft` (a name) what is typed outlives a
 * reload and a new session in this tab; the fields named in `secrets` are never written anywhere.
 */
export function useForm(initial, { draft, secrets = [], onSubmit }) {
  const name = draft && `holdfast.draft.${draft}`;
  const [values, setValues] = useState(() => ({ ...initial, ...(name ? readDraft(name) : {}) }));
  const [problem, setProblem] = useState(null);
  const [isBusy, setBusy] = useState(false);
  const isGone = useRef(false);
  useEffect(() => () => void (isGone.current = true), []);
  useEffect(() => {
    if (!name) return;
    const kept = Object.entries(values).filter(([key]) => !secrets.includes(key));
    sessionStorage.setItem(name, JSON.stringify(Object.fromEntries(kept)));
  }, [name, values]);
  const set = (key, value) => setValues((old) => ({ ...old, [key]: value }));
  const reset = () => {
    if (name) sessionStorage.removeItem(name);
    setValues(initial);
    setProblem(null);
  };
  const submit = async (event) => {
    event?.preventDefault();
    if (isBusy) return;
    setBusy(true);
    setProblem(null);
    try {
      await onSubmit(values);
      if (!isGone.current) reset();
      else if (name) sessionStorage.removeItem(name);
    } catch (error) {
      if (!error.code) throw error;
      setProblem(error);
    } finally {
      if (!isGone.current) setBusy(false);
    }
  };
  return { values, set, problem, isBusy, submit, reset };
}

/** A form with its fields, its problem and its button; `more` stands beside the button. */
export function Form({ form, action, tone = "main", icon, children, more, isReady = true }) {
  return html`<form class="form" onSubmit=${form.submit} noValidate>
    ${children}
    <${Trouble} problem=${form.problem} />
    <div class="actions">
      <${Button} type="submit" tone=${tone} icon=${icon} isBusy=${form.isBusy} isDisabled=${!isReady}
        onPress=${isReady ? undefined : () => {}}>${action}<//>
      ${more}
    </div>
  </form>`;
}

/** The words around a control. `children` is a function of the attributes the control must have. */
export function Field({ label, hint, error, isOptional, children }) {
  const id = useId();
  const described = classes(hint && `${id}-hint`, error && `${id}-error`) || null;
  return html`<div class=${classes("field", error && "has-error")}>
    <label for=${id}>${label}${isOptional && html`<span class="note"> ${t("form.optional")}</span>`}</label>
    ${hint && html`<p class="hint" id=${`${id}-hint`}>${hint}</p>`}
    ${children({ id, "aria-describedby": described, "aria-invalid": error ? "true" : null })}
    ${error && html`<p class="error" id=${`${id}-error`}>${error}</p>`}
  </div>`;
}

function errorOf(form, name) {
  return form.problem?.fields.find((field) => field.name === name)?.message;
}

/** A line of text of `form.values[name]`; `wrong` says what is not right with it; other properties go to the input. */
export function TextField({ form, name, label, hint, isOptional, wrong, ...rest }) {
  return html`<${Field} label=${label} hint=${hint} isOptional=${isOptional} error=${wrong || errorOf(form, name)}>
    ${(given) => html`<input type="text" autocomplete="off" spellcheck=${false} ...${rest} ...${given} name=${name}
      value=${form.values[name] ?? ""} onInput=${(event) => form.set(name, event.currentTarget.value)} />`}
  <//>`;
}

/** Whose password it is: password keepers want to know, people see it elsewhere. */
export const WhoseName = ({ name }) =>
  html`<input type="text" name="username" autocomplete="username" value=${name} readonly hidden />`;

export const PasswordField = (props) => html`<${TextField} type="password" ...${props} />`;

export function NumberField({ form, name, ...rest }) {
  const put = (event) => {
    const { value } = event.currentTarget;
    form.set(name, value === "" ? null : Number(value));
  };
  return html`<${Field} label=${rest.label} hint=${rest.hint} isOptional=${rest.isOptional} error=${errorOf(form, name)}>
    ${(given) => html`<input type="number" inputmode="decimal" min=${rest.min} max=${rest.max} step=${rest.step}
      ...${given} name=${name} value=${form.values[name] ?? ""} onInput=${put} />`}
  <//>`;
}

/** `options`: [value, text] pairs. */
export function SelectField({ form, name, label, hint, options, onChange }) {
  const put = (event) => {
    form.set(name, event.currentTarget.value);
    onChange?.(event.currentTarget.value);
  };
  return html`<${Field} label=${label} hint=${hint} error=${errorOf(form, name)}>
    ${(given) => html`<select ...${given} name=${name} value=${form.values[name]} onChange=${put}>
      ${options.map(([value, text]) => html`<option value=${value} selected=${form.values[name] === value}>${text}</option>`)}
    </select>`}
  <//>`;
}

export function CheckField({ form, name, label, hint }) {
  const id = useId();
  return html`<div class="check">
    <input type="checkbox" id=${id} name=${name} checked=${Boolean(form.values[name])}
      aria-describedby=${hint ? `${id}-hint` : null}
      onChange=${(event) => form.set(name, event.currentTarget.checked)} />
    <label for=${id}>${label}</label>
    ${hint && html`<p class="hint" id=${`${id}-hint`}>${hint}</p>`}
  </div>`;
}

/** One of several, each with a title and what it means. `options`: {value, title, text, isOff}. */
export function ChoiceField({ form, name, label, options }) {
  const id = useId();
  return html`<fieldset class="choices">
    <legend>${label}</legend>
    ${options.map((option, index) => html`<div class="choice" key=${option.value}>
      <input type="radio" id=${`${id}-${index}`} name=${name} value=${option.value} disabled=${option.isOff}
        checked=${form.values[name] === option.value} aria-describedby=${option.text ? `${id}-${index}-text` : null}
        onChange=${() => form.set(name, option.value)} />
      <label for=${`${id}-${index}`}>${option.title}</label>
      ${option.text && html`<p class="hint" id=${`${id}-${index}-text`}>${option.text}</p>`}
    </div>`)}
  </fieldset>`;
}
