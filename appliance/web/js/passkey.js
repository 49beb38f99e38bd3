// Passkeys: the device proves who holds it. The server asks, the browser answers, in two requests.

import { Problem, post, put } from "./api.js";
import { renewSession } from "./session.js";

/** Only by a name: a browser binds passkeys to names, and refuses where it distrusts the certificate. */
export const isOffered = () =>
  Boolean(globalThis.PublicKeyCredential) && isSecureContext && !/^[\d.]+$|^\[/.test(location.hostname);

const toBytes = (text) =>
  Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
const toText = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const named = (list) => (list || []).map((one) => ({ ...one, id: toBytes(one.id) }));

/** What the device gave, as JSON. */
function written({ id, rawId, type, response }) {
  const parts = ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"];
  const given = parts.filter((name) => response[name]).map((name) => [name, toText(response[name])]);
  return { id, rawId: toText(rawId), type, response: Object.fromEntries(given) };
}

/** The person may turn away, or the device know nothing of this box: one sentence for both. */
async function ask(answer) {
  try {
    return written(await answer());
  } catch (error) {
    if (error instanceof DOMException) throw new Problem(400, { code: "passkey-refused" });
    throw error;
  }
}

async function prove(path) {
  const { ticket, options } = await post(path, undefined, { isFinal: true });
  const publicKey = { ...options, challenge: toBytes(options.challenge), allowCredentials: named(options.allowCredentials) };
  const response = await ask(() => navigator.credentials.get({ publicKey }));
  await put(path, { ticket, response }, { isFinal: true });
}

export async function signInByPasskey() {
  await prove("/session/passkey");
  await renewSession();
}

export const confirmByPasskey = () => prove("/session/confirm/passkey");

/** A new one, called `label`. */
export async function makePasskey(label) {
  const { ticket, options } = await post("/session/passkeys");
  const publicKey = {
    ...options,
    challenge: toBytes(options.challenge),
    user: { ...options.user, id: toBytes(options.user.id) },
    excludeCredentials: named(options.excludeCredentials),
  };
  const response = await ask(() => navigator.credentials.create({ publicKey }));
  await put("/session/passkeys", { ticket, response, label });
}
