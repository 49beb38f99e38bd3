// How far the wizard is: kept in this browser, so that a reload or a restart of the box loses nothing.

import { Store } from "./store.js";

const KEPT = "holdfast.setup";

function kept() {
  try {
    return JSON.parse(localStorage.getItem(KEPT)) || {};
  } catch {
    return {};
  }
}

/** {isActive, way: "new" | "old", step: the name of the current one}. */
export const progress = new Store({ isActive: false, way: "new", step: "begin", ...kept() });

progress.subscribe((value) => localStorage.setItem(KEPT, JSON.stringify(value)));

export const beginSetup = (step = "begin") => progress.update({ isActive: true, step });
export const leaveSetup = () => progress.set({ isActive: false, way: "new", step: "begin" });
