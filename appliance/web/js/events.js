// What the server says by itself: one event stream for the page, opened again whenever it breaks.

import { Store } from "./store.js";

// "reset" is the server's word that more happened than it could tell.
const KINDS = ["job", "finding", "machine", "box", "reset"];
const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 30_000;

const listeners = new Set();
let source = null;
let waitMs = FIRST_WAIT_MS;
let timer = 0;

/** "open", "connecting" or "lost": shown when it is not open for longer than a moment. */
export const line = new Store("connecting");

/** Calls `listener(kind, data)` for each event, with ("lost", null) at a break, ("again", null) after it. */
export function listen(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function tell(kind, data) {
  for (const listener of [...listeners]) listener(kind, data);
}

export function openEvents() {
  closeEvents();
  line.set(waitMs === FIRST_WAIT_MS ? "connecting" : "lost");
  source = new EventSource("/api/v1/events");
  source.onopen = () => {
    const wasLost = waitMs !== FIRST_WAIT_MS;
    waitMs = FIRST_WAIT_MS;
    line.set("open");
    if (wasLost) tell("again", null);
  };
  source.onerror = openLater;
  for (const kind of KINDS) {
    source.addEventListener(kind, (event) => report(kind, parse(event.data)));
  }
}

/** Only a job comes along whole; of everything else the event says that it changed. */
function report(kind, data) {
  if (kind === "reset") tell("again", null);
  else tell(kind, kind === "job" ? data?.job : data);
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function openLater() {
  closeEvents();
  line.set("lost");
  tell("lost", null);
  timer = setTimeout(openEvents, waitMs * (0.75 + Math.random() / 2));
  waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS);
}

export function closeEvents() {
  clearTimeout(timer);
  source?.close();
  source = null;
}

addEventListener("online", () => line.value === "lost" && openEvents());
