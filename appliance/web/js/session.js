// Who is looking: signing in and out, and the two questions that may interrupt any action.

import { get, post, recoverWith, remove } from "./api.js";
import { closeEvents, openEvents } from "./events.js";
import { Store } from "./store.js";

const RANKS = { viewer: 0, operator: 1, admin: 2 };

/** {state: "unknown" | "setup" | "out" | "in" | "unreachable", user, role, ...} */
export const session = new Store({ state: "unknown" });
/** What a waiting request asks: null, {kind: "login" | "confirm", answer(isAllowed)}. */
export const question = new Store(null);

/** May this person do what needs `role`? The server decides; the page only hides what would fail. */
export const may = (role) => RANKS[session.value.role] >= RANKS[role];

export async function startSession() {
  try {
    enter(await get("/session", { isFinal: true }));
  } catch (problem) {
    if (problem.status !== 401 && problem.status !== 403) {
      session.set({ state: "unreachable", problem });
      return;
    }
    session.set({ state: (await isSetupOpen()) ? "setup" : "out" });
  }
}

async function isSetupOpen() {
  try {
    return !(await get("/setup", { isFinal: true })).is_done;
  } catch {
    return false;
  }
}

function enter(facts) {
  session.set({ ...facts, state: "in" });
  openEvents();
}

/** Signs in; throws the problem. `values`: user, password, code where asked for. */
export async function signIn(values) {
  enter(await post("/session", values, { isFinal: true }));
}

export async function signOut() {
  await remove("/session", { isFinal: true }).catch(() => {});
  closeEvents();
  session.set({ state: "out" });
}

export async function confirmAgain(values) {
  await post("/session/confirm", values, { isFinal: true });
}

// ---- questions that interrupt -------------------------------------------------------------------

let waiting = {};

/** One dialog answers all requests that wait for the same thing. */
function askOnce(kind) {
  waiting[kind] ??= new Promise((resolve) => {
    question.set({
      kind,
      answer: (isAllowed) => {
        delete waiting[kind];
        question.set(null);
        resolve(isAllowed);
      },
    });
  });
  return waiting[kind];
}

recoverWith({
  signedOut: () => (session.value.state === "in" ? askOnce("login") : false),
  unconfirmed: () => askOnce("confirm"),
});
