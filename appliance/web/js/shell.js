// The frame around all pages: navigation, who is signed in, language and theme, and what interrupts.

import { line } from "./events.js";
import { LANGUAGES, language, loadWords, setLanguage, t } from "./i18n.js";
import { href, place } from "./router.js";
import { NAVIGATION } from "./routes.js";
import { session, signOut, startSession } from "./session.js";
import { progress } from "./setup_progress.js";
import { useStore } from "./store.js";
import { THEMES, setTheme, theme } from "./theme.js";
import { useResource } from "./resource.js";
import { classes, html, useEffect, useRef, useState } from "./view.js";
import { Button } from "./components/button.js";
import { AddressTrial } from "./components/address_trial.js";
import { Confirmation } from "./components/dialog.js";
import { Icon } from "./components/icon.js";
import { Interruption, NewPassword, SignIn } from "./components/signin.js";
import { Toasts } from "./components/toast.js";
import { Empty, Trouble } from "./components/trouble.js";

/** Everything on the screen, by the state of the session. */
export function Shell() {
  const { state, problem } = useStore(session);
  useStore(language);
  const { isActive } = useStore(progress);
  if (state === "in" && !isActive) return html`<${Frame} />`;
  if (state === "initial") return html`<${NewPassword} /><footer class="alone-foot"><${Preferences} /></footer>`;
  if (state === "setup" || state === "in") return html`<${Wizard} />`;
  if (state === "unreachable") {
    return html`<main class="alone"><div class="card">
      <h1>Holdfast</h1><${Trouble} problem=${problem} onRetry=${startSession} />
    </div></main>`;
  }
  return html`<${SignIn} /><footer class="alone-foot"><${Preferences} /></footer>`;
}

/** The wizard is a large module that is needed once in the life of a box. */
function Wizard() {
  const [page, setPage] = useState(null);
  useEffect(() => {
    Promise.all([import("./pages/setup.js"), loadWords("setup", "notices", "host")])
      .then(([module]) => setPage(() => module.default));
  }, []);
  return page && html`<${page} /><${Toasts} /><${Confirmation} /><${Interruption} />`;
}

function Frame() {
  const [isMenuOpen, setMenuOpen] = useState(false);
  const here = useStore(place);
  const main = useRef(null);
  useEffect(() => setMenuOpen(false), [here]);
  useArrival(here, main);
  const skip = () => main.current.focus();
  return html`
    <button type="button" class="skip" onClick=${skip}>${t("shell.skip")}</button>
    <div class="frame">
      <${Side} here=${here} isOpen=${isMenuOpen} onMenu=${() => setMenuOpen(!isMenuOpen)} />
      <main ref=${main} tabindex="-1" data-page=${here?.address}>
        <${LineNotice} />
        <${AddressTrial} />
        <${Current} here=${here} />
      </main>
    </div>
    <${Toasts} /><${Confirmation} /><${Interruption} />`;
}

/** A new page: its title is the window's, and the keyboard and the reader's eyes start at its top. */
function useArrival(here, main) {
  const tongue = useStore(language);
  const seen = useRef(null);
  useEffect(() => {
    if (!here) return;
    const title = here.route ? t(`nav.${here.route.nav}`) : t("shell.not_found");
    document.title = `${title} · Holdfast`;
    if (seen.current !== null && seen.current !== here.path) {
      scrollTo(0, 0);
      (main.current.querySelector("h1") || main.current).focus({ preventScroll: true });
    }
    seen.current = here.path;
  }, [here, tongue]);
}

function Current({ here }) {
  if (!here) return null;
  if (here.error) {
    return html`<div class="page"><h1 tabindex="-1">${t("shell.no_page")}</h1>
      <p>${t("shell.no_page_text")}</p>
      <${Button} icon="retry" onPress=${() => location.reload()}>${t("action.reload")}<//></div>`;
  }
  if (!here.page) {
    return html`<div class="page"><h1 class="unseen" tabindex="-1">${t("shell.not_found")}</h1>
      <${Empty} icon="unknown" title=${t("shell.not_found")}
        action=${html`<a class="button is-main" href="#/"><span>${t("nav.home")}</span></a>`}>
        <p>${t("shell.not_found_text")}</p><//></div>`;
  }
  return html`<${here.page} key=${here.path} params=${here.params} query=${here.query} />`;
}

function Side({ here, isOpen, onMenu }) {
  const box = useResource("/box", { on: ["box", "finding"] }).data;
  return html`<header class=${classes("side", isOpen && "is-open")}>
    <div class="brand">
      <a href="#/"><${Mark} /><span><strong>Holdfast</strong>${box && html`<span class="box-name">${box.name}</span>`}</span></a>
      <button type="button" class="button is-quiet is-icon menu-button" aria-expanded=${isOpen ? "true" : "false"}
        aria-controls="menu" aria-label=${t("shell.menu")} onClick=${onMenu}><${Icon} name=${isOpen ? "close" : "menu"} /></button>
    </div>
    <div id="menu" class="menu">
      <nav aria-label=${t("shell.navigation")}><ul>${NAVIGATION.map((item) => html`<li key=${item.id}>
        <a href=${href(item.path)} aria-current=${here?.route?.nav === item.id ? "page" : null}>
          <${Icon} name=${item.icon} /><span>${t(`nav.${item.id}`)}</span>
          ${item.id === "findings" && box?.findings > 0 && html`<${Count} value=${box.findings} />`}
        </a></li>`)}</ul></nav>
      <div class="side-foot"><${Account} /><${Preferences} /></div>
    </div>
  </header>`;
}

const Count = ({ value }) =>
  html`<span class="count digits">${value}<span class="unseen"> ${t("shell.open_findings")}</span></span>`;

export const Mark = () => html`<svg class="mark" viewBox="0 0 32 32" width="28" height="28" aria-hidden="true">
  <rect width="32" height="32" rx="8" /><path d="M16 11.5V25M7 17.5c0 5 4 8 9 8s9-3 9-8M11.5 15.5h9M18.6 8.5a2.6 2.6 0 1 1-5.2 0 2.6 2.6 0 0 1 5.2 0z" /></svg>`;

function Account() {
  const { name, role } = useStore(session);
  return html`<div class="account">
    <${Icon} name="user" />
    <span><span class="account-name">${name}</span><span class="note">${t(`role.${role}`)}</span></span>
    <${Button} tone="quiet" onPress=${signOut}>${t("action.sign_out")}<//>
  </div>`;
}

/** Language and theme: two small selects, the same at the sign-in page and in the frame. */
export function Preferences() {
  const tongue = useStore(language);
  const look = useStore(theme);
  return html`<div class="preferences">
    <label><span class="unseen">${t("shell.language")}</span><${Icon} name="globe" size=${16} />
      <select value=${tongue} onChange=${(event) => setLanguage(event.currentTarget.value)}>
        ${Object.entries(LANGUAGES).map(([id, name]) => html`<option value=${id} lang=${id} selected=${id === tongue}>${name}</option>`)}
      </select></label>
    <label><span class="unseen">${t("shell.theme")}</span><${Icon} name="light" size=${16} />
      <select value=${look} onChange=${(event) => setTheme(event.currentTarget.value)}>
        ${THEMES.map((name) => html`<option value=${name} selected=${name === look}>${t(`theme.${name}`)}</option>`)}
      </select></label>
  </div>`;
}

/** Said when the box has not answered for longer than a moment. */
function LineNotice() {
  const state = useStore(line);
  const [isShown, setShown] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setShown(state === "lost"), state === "lost" ? 2500 : 0);
    return () => clearTimeout(timer);
  }, [state]);
  return html`<div role="status">${isShown && html`<p class="line-notice"><${Icon} name="warn" /> ${t("shell.line_lost")}</p>`}</div>`;
}
