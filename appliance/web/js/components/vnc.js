// The screen of a VM: noVNC in an element, connected through the box's web socket.
// Owns the connection and the keyboard's way out. Knows nothing of VMs but an address.

import RFB from "../../vendor/novnc/core/rfb.js";

const TEXT_MAX = 4096;
const RETURN = 0xff0d;
const TAB = 0xff09;
const SHIFT = 0xffe1;
const SHIFTED = /[A-Z~!@#$%^&*()_+{}|:"<>?]/;
const UNICODE = 0x01000000; // keysyms beyond Latin-1 (X11 protocol, appendix A)

/** Connect; `tell` hears "connecting", "connected", "closed" and "refused". Gives the handle. */
export function connect(element, path, password, tell) {
  const address = new URL(path, window.location.href);
  address.protocol = address.protocol.replace("http", "ws");
  const rfb = new RFB(element, address.href, { credentials: { password }, wsProtocols: ["binary"] });
  rfb.scaleViewport = true;
  rfb.background = "transparent";
  rfb.focusOnClick = true;
  tell("connecting");
  rfb.addEventListener("connect", () => tell("connected"));
  rfb.addEventListener("securityfailure", () => tell("refused"));
  let isOver = false;
  rfb.addEventListener("disconnect", () => {
    isOver = true;
    tell("closed");
  });
  const release = giveWayOut(element, rfb);
  return {
    focus: () => rfb.focus(),
    sendCtrlAltDel: () => rfb.sendCtrlAltDel(),
    typeText: (text) => typeText(rfb, text),
    setScaled: (isScaled) => {
      rfb.scaleViewport = isScaled;
      rfb.clipViewport = !isScaled;
    },
    close: () => {
      release();
      if (!isOver) rfb.disconnect();
    },
  };
}

/** Control and Alt pressed and let go with nothing between give the keyboard back to the page. */
function giveWayOut(element, rfb) {
  let isArmed = false;
  const onKey = (event) => {
    const isModifier = event.key === "Control" || event.key === "Alt";
    if (event.type === "keydown") {
      isArmed = isModifier && event.ctrlKey && event.altKey;
    } else if (isArmed && isModifier) {
      isArmed = false;
      rfb.blur();
      element.dispatchEvent(new CustomEvent("keyboardreleased", { bubbles: true }));
    }
  };
  element.addEventListener("keydown", onKey, true);
  element.addEventListener("keyup", onKey, true);
  return () => {
    element.removeEventListener("keydown", onKey, true);
    element.removeEventListener("keyup", onKey, true);
  };
}

/** Send text as key presses, for passwords from a safe and for telephones. */
function typeText(rfb, text) {
  for (const character of text.slice(0, TEXT_MAX)) {
    const code = character.codePointAt(0);
    if (character === "\n") rfb.sendKey(RETURN, "Enter");
    else if (character === "\t") rfb.sendKey(TAB, "Tab");
    else pressKey(rfb, code < 0x100 ? code : UNICODE + code, SHIFTED.test(character));
  }
}

/** A key, with Shift where a keyboard needs it: QEMU looks for keys, not for characters. */
function pressKey(rfb, keysym, isShifted) {
  if (isShifted) rfb.sendKey(SHIFT, "ShiftLeft", true);
  rfb.sendKey(keysym, null);
  if (isShifted) rfb.sendKey(SHIFT, "ShiftLeft", false);
}
