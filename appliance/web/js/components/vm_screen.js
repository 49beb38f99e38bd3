// The live screen of a VM with its toolbar: keyboard, Ctrl-Alt-Del, full screen, text to type.

import { html, useEffect, useRef, useState } from "../view.js";
import { t } from "../i18n.js";
import { at, get } from "../api.js";
import { Button } from "./button.js";
import { State } from "./state.js";

const RESTART_KEYS = "Ctrl-Alt-Del";
const LOOKS = { connecting: "running", connected: "good", refused: "bad", closed: "paused" };

export function VmScreen({ name }) {
  const frame = useRef(null);
  const place = useRef(null);
  const [state, screen, again] = useScreen(name, place);
  const isOpen = state === "connected";
  const toggleFull = () =>
    document.fullscreenElement ? document.exitFullscreen() : frame.current.requestFullscreen();
  const leave = () => frame.current.querySelector("button").focus();
  return html`<section class="card vm-screen" ref=${frame} aria-label=${t("screen.of", { name })}>
    <div class="row" role="group" aria-label=${t("screen.tools")}>
      <${Button} icon="keyboard" isDisabled=${!isOpen} onPress=${() => screen.current.focus()}>${t("screen.keyboard")}<//>
      <${Button} isDisabled=${!isOpen} onPress=${() => screen.current.sendCtrlAltDel()}>${RESTART_KEYS}<//>
      <${Button} icon="expand" onPress=${toggleFull}>${t("screen.full")}<//>
      ${(state === "closed" || state === "refused") && html`<${Button} tone="main" icon="retry" onPress=${again}>${t("screen.again")}<//>`}
      <span class="screen-state" role="status"><${State} name=${LOOKS[state]} label=${t(`screen.${state}`)} /></span>
    </div>
    <div class="screen-place" ref=${place} data-state=${state} onkeyboardreleased=${leave}></div>
    <p class="note">${t("screen.way_out")}</p>
    <${TypeText} isOpen=${isOpen} onSend=${(text) => screen.current.typeText(text)} />
  </section>`;
}

/** [state, ref of the connection, connect again]. noVNC is loaded with the first screen. */
function useScreen(name, place) {
  const [state, setState] = useState("connecting");
  const [turn, setTurn] = useState(0);
  const screen = useRef(null);
  useEffect(() => {
    let isGone = false;
    const tell = (news) => !isGone && setState(news);
    tell("connecting");
    Promise.all([import("./vnc.js"), get(at`/vms/${name}/screen/key`)]).then(
      ([{ connect }, { password }]) => {
        if (!isGone) screen.current = connect(place.current, at`/api/v1/vms/${name}/screen`, password, tell);
      },
      () => tell("closed"),
    );
    return () => {
      isGone = true;
      screen.current?.close();
      screen.current = null;
    };
  }, [name, turn]);
  return [state, screen, () => setTurn((count) => count + 1)];
}

/** Text as a whole: for passwords out of a safe, and for telephones without such keys. */
function TypeText({ isOpen, onSend }) {
  const [text, setText] = useState("");
  const send = (event) => {
    event.preventDefault();
    if (!isOpen) return;
    onSend(`${text}\n`);
    setText("");
  };
  return html`<form class="row type-text" onSubmit=${send}>
    <label class="field">
      <span>${t("screen.text")}</span>
      <input type="text" autocomplete="off" autocapitalize="off" spellcheck=${false} value=${text}
        onInput=${(event) => setText(event.currentTarget.value)} />
    </label>
    <${Button} type="submit" isDisabled=${!isOpen}>${t("screen.send")}<//>
  </form>`;
}
