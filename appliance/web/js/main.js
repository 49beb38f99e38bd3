// Where the page begins: words, session, address, and then everything is drawn.

import { loadWords, language, setLanguage } from "./i18n.js";
import { startRouter } from "./router.js";
import { startSession } from "./session.js";
import { Shell } from "./shell.js";
import { html, render } from "./view.js";
import "./theme.js";

async function start() {
  const page = startRouter();
  await Promise.all([loadWords("shell", "phases", "errors"), startSession()]);
  await setLanguage(language.value);
  render(html`<${Shell} />`, document.getElementById("app"));
  await page;
}

start();
