// The one door to the server: JSON in, JSON out, and errors a person can read.
//
// A session that ended and an action that wants the password again do not fail here: the request
// waits for the dialog of `session.js` and is then sent once more, so nobody loses what was typed.

import { fetchTwice } from "./fetching.js";

const BASE = "/api/v1";
const TIMEOUT_MS = 60_000; // longer than the box is asked to wait for an answer
const TURNS_MAX = 4; // a session that ended, a new one that has not confirmed yet, and both again
const DONE_CODES = new Set([0, 3]); // done, and done with named gaps
// What the exit codes of the command mean; any other is only that it failed.
const EXIT_CODES = { 2: "usage", 4: "damage", 5: "not-found", 6: "busy", 7: "no-space", 8: "locked" };

/** An answer that is not the wanted one, as problem+json says it. `code` names the sentence. */
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.title || String(status));
    this.status = status;
    this.code = body.code || codeOf(status);
    this.detail = body.detail || "";
    this.fields = body.errors || [];
    this.retryAfterS = body.retry_after_s ?? null;
  }
}

function codeOf(status) {
  const known = { 0: "offline", 401: "unauthenticated", 403: "forbidden", 404: "not-found",
    409: "busy", 412: "changed", 413: "too-large", 429: "rate-limited", 503: "unavailable",
    507: "no-space" };
  return known[status] || (status >= 500 ? "server" : "declined");
}

/** Why a job failed, as its code or its exit code names it; its own words are the detail. */
export const problemOfJob = (job) =>
  new Problem(422, { code: job.error_code || EXIT_CODES[job.exit_code] || "job", detail: job.error || "" });

// Set by session.js: what to do before a request is worth repeating. Each gives true to repeat it.
const recoveries = { signedOut: null, unconfirmed: null };
export const recoverWith = (functions) => Object.assign(recoveries, functions);

function address(path, query) {
  const url = new URL(path.startsWith(BASE) ? path : BASE + path, location.origin);
  for (const [name, value] of Object.entries(query || {})) {
    if (value !== undefined && value !== null && value !== "") url.searchParams.set(name, value);
  }
  return url;
}

async function send(method, path, { query, body, key, signal, headers } = {}) {
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  const options = {
    method,
    headers: { Accept: "application/json", ...headers },
    credentials: "same-origin",
    signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
  };
  if (method !== "GET") options.headers["X-Holdfast"] = "1";
  if (key) options.headers["Idempotency-Key"] = key;
  if (body instanceof Blob || body instanceof ArrayBuffer) {
    options.body = body;
  } else if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetchTwice(address(path, query), options);
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(0, {});
  }
  return response;
}

async function problemOf(response) {
  let body = {};
  try {
    body = await response.json();
  } catch {
    // A proxy's page or nothing at all: the status says enough.
  }
  const problem = new Problem(response.status, body);
  const wait = Number(response.headers.get("Retry-After"));
  if (wait) problem.retryAfterS = wait;
  return problem;
}

async function recovered(problem, options) {
  if (options.isFinal) return false;
  if (problem.status === 401 && recoveries.signedOut) return recoveries.signedOut();
  if (problem.code === "needs-confirmation" && recoveries.unconfirmed) {
    return recoveries.unconfirmed();
  }
  return false;
}

async function exchange(method, path, options = {}) {
  for (let turn = 0; ; turn += 1) {
    const response = await send(method, path, options);
    if (response.ok) return response;
    const problem = await problemOf(response);
    if (turn === TURNS_MAX || !(await recovered(problem, options))) throw problem;
  }
}

async function answerOf(response) {
  if (response.status === 204 || response.headers.get("Content-Length") === "0") return null;
  const type = response.headers.get("Content-Type") || "";
  return type.includes("json") ? response.json() : response.text();
}

/** GET of JSON. Options: query, signal, isFinal (give a 401 back instead of asking to sign in). */
export async function get(path, options) {
  return answerOf(await exchange("GET", path, options));
}

/** POST. The idempotency key is made once, so a repeat after signing in does nothing twice. */
export async function post(path, body, options = {}) {
  return answerOf(
    await exchange("POST", path, { ...options, body, key: options.key || crypto.randomUUID() }),
  );
}

export async function put(path, body, options) {
  return answerOf(await exchange("PUT", path, { ...options, body }));
}

export async function remove(path, options) {
  return answerOf(await exchange("DELETE", path, options));
}

/** One try of `upload`: {status, body}. Only this way the browser tells how far it is. */
function transfer(path, file, onProgress) {
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    request.open("PUT", address(path));
    request.setRequestHeader("X-Holdfast", "1");
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.responseType = "json";
    request.upload.onprogress = ({ loaded }) => onProgress(loaded);
    request.onload = () => resolve({ status: request.status, body: request.response || {} });
    request.onerror = () => resolve({ status: 0, body: {} });
    request.send(file);
  });
}

/** PUT of a file; `onProgress(bytes)` as they leave. It takes as long as it takes. */
export async function upload(path, file, onProgress) {
  for (let turn = 0; ; turn += 1) {
    const { status, body } = await transfer(path, file, onProgress);
    if (status >= 200 && status < 300) return body;
    const problem = new Problem(status, body);
    if (turn === TURNS_MAX || !(await recovered(problem, {}))) throw problem;
  }
}

/** Submit a verb, as in `run("vault sync", {vault: "files"})`; gives its job. */
export async function run(verb, values = {}, options = {}) {
  return post(`/run/${verb.split(" ").map(encodeURIComponent).join("/")}`, values, options);
}

/** What is quick is no job and says only how it ended. */
const isDone = ({ state, exit_code: code }) =>
  (state ? ["done", "gaps"].includes(state) : DONE_CODES.has(code));

/** The result of a verb that answers at once; throws its error. */
export async function ask(verb, values = {}, options = {}) {
  const answer = await run(verb, values, { ...options, query: { wait: 30 } });
  if (isDone(answer)) return answer.result;
  throw problemOfJob(answer);
}

/** What a verb comes to, for what somebody waits for; throws its error. */
export const settle = async (verb, values = {}) => finish(await run(verb, values, { query: { wait: 30 } }));

/** A job that was begun, as it is when it has ended, however it did. */
export async function awaitEnd(begun) {
  let job = begun;
  while (job.state === "queued" || job.state === "running") {
    await new Promise((resolve) => setTimeout(resolve, 500));
    job = await get(at`/jobs/${job.id}`);
  }
  return job;
}

/** The result of a job that was begun; throws its error, so that a form keeps what was typed. */
export async function finish(begun) {
  const job = await awaitEnd(begun);
  if (isDone(job)) return job.result;
  throw problemOfJob(job);
}

/** A path with each part escaped: `at\`/machines/${name}/points\``. */
export const at = (texts, ...values) => String.raw({ raw: texts }, ...values.map(encodeURIComponent));
