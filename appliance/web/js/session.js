// Who is looking: signing in and out, and the two questions that may interrupt any action.

import { get, post, put, recoverWith, remove } from "./api.js";
import { closeEvents, listen, openEvents } from "./events.js";
import { Store } from "./store.js";

const RANKS = { viewer: 0, operator: 1, admin: 2 };

/** {state: "unknown" | "setup" | "out" | "initial" | "in" | "unreachable", name, role, ...} */
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
    return (await get("/setup", { isFinal: true })).state !== "done";
  } catch {
    return false;
  }
}

function enter(facts) {
  if (facts.role === "setup") {
    session.set({ ...facts, state: "setup" });
    return;
  }
  session.set({ ...facts, state: facts.must_choose_password ? "initial" : "in" });
  openEvents();
}

/** Ask again who this is: after the session changed. */
export async function renewSession() {
  enter(await get("/session", { isFinal: true }));
}

/** Signs in; throws the problem. `values`: user, password, code where asked for. */
export async function signIn(values) {
  await post("/session", values, { isFinal: true });
  await renewSession();
}

/** Instead of an initial password, one of one's own. */
export async function choosePassword(values) {
  await put("/session/password", values, { isFinal: true });
  await renewSession();
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

/**
 * A request was refused as nobody's. Whoever confirms gets a new cookie, so one that was on its way
 * meanwhile carried the old one: only who really has no session any more is asked.
 */
async function signedOut() {
  if (session.value.state !== "in") return false;
  const isIn = await get("/session", { isFinal: true }).then(() => true, () => false);
  return isIn || askOnce("login");
}

recoverWith({ signedOut, unconfirmed: () => askOnce("confirm") });

// A stream that broke may mean that the session ended: nobody is to look at an old page and wait.
listen((kind) => {
  if (kind === "lost" && session.value.state === "in") get("/session").catch(() => {});
});
