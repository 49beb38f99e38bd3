// Dialogs: the browser's own, which keeps the focus inside, gives it back, and closes on Escape.

import { Store, useStore } from "../store.js";
import { t } from "../i18n.js";
import { html, useEffect, useId, useRef } from "../view.js";
import { Button } from "./button.js";

/** A dialog that is open while it is drawn. `onClose` is called when the person leaves it. */
export function Dialog({ title, children, onClose, isWide = false }) {
  const frame = useRef(null);
  const id = useId();
  useEffect(() => {
    const opener = document.activeElement;
    frame.current.showModal();
    return () => opener?.isConnected && opener.focus();
  }, []);
  const cancel = (event) => {
    event.preventDefault();
    onClose?.();
  };
  return html`<dialog ref=${frame} class=${isWide ? "is-wide" : ""} aria-labelledby=${id} onCancel=${cancel}>
    <header>
      <h2 id=${id}>${title}</h2>
      ${onClose && html`<${Button} tone="quiet" icon="close" label=${t("action.close")} onPress=${() => onClose()} />`}
    </header>
    <div class="dialog-body">${children}</div>
  </dialog>`;
}

const asked = new Store(null);

/**
 * Say what will happen, and ask. `{title, body, action, tone, typed}`: `body` is text or elements,
 * `action` the verb on the button, `typed` a word that must be typed for what cannot be undone.
 * Gives true when the person agrees.
 */
export const confirmFirst = (words) =>
  new Promise((resolve) => {
    asked.set({
      ...words,
      answer: (isAgreed) => {
        asked.set(null);
        resolve(isAgreed);
      },
    });
  });

/** Where `confirmFirst` appears: drawn once, by the shell. */
export function Confirmation() {
  const words = useStore(asked);
  const typed = useRef(null);
  if (!words) return null;
  const agree = (event) => {
    event.preventDefault();
    if (words.typed && typed.current.value.trim() !== words.typed) {
      typed.current.setAttribute("aria-invalid", "true");
      typed.current.focus();
      return;
    }
    words.answer(true);
  };
  return html`<${Dialog} title=${words.title} onClose=${() => words.answer(false)}>
    <form class="form" onSubmit=${agree}>
      <div class="prose">${typeof words.body === "string" ? html`<p>${words.body}</p>` : words.body}</div>
      ${words.typed && html`<div class="field">
        <label for="confirm-typed">${t("dialog.type_to_confirm", { word: words.typed })}</label>
        <input id="confirm-typed" ref=${typed} type="text" autocomplete="off" spellcheck=${false} />
      </div>`}
      <div class="actions">
        <${Button} type="submit" tone=${words.tone || "main"}>${words.action}<//>
        <${Button} onPress=${() => words.answer(false)}>${t("action.cancel")}<//>
      </div>
    </form>
  <//>`;
}
