// Light, dark, or as the computer says.

import { Store } from "./store.js";

const KEPT = "holdfast.theme";
export const THEMES = ["auto", "light", "dark"];

export const theme = new Store(
  THEMES.includes(localStorage.getItem(KEPT)) ? localStorage.getItem(KEPT) : "auto",
);

export function setTheme(name) {
  localStorage.setItem(KEPT, name);
  document.documentElement.dataset.theme = name;
  theme.set(name);
}

document.documentElement.dataset.theme = theme.value;
