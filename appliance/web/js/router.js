// Which page the address asks for. Addresses are fragments, `#/machines/web1`, so that every one
// can be kept, sent to a colleague and opened again without the server knowing pages.

import { Store } from "./store.js";
import { loadWords } from "./i18n.js";
import { ROUTES } from "./routes.js";

/** {page, params, query, path, route, address}, or {error} when the page's module did not arrive. */
export const place = new Store(null);

/** A link: `href("/machines", name)` escapes each part. */
export const href = (path, ...names) =>
  `#${path}${names.map((name) => `/${encodeURIComponent(name)}`).join("")}`;

export function go(path, ...names) {
  location.hash = href(path, ...names);
}

const compiled = ROUTES.map((route) => ({
  ...route,
  names: [...route.path.matchAll(/:(\w+)/g)].map((found) => found[1]),
  pattern: new RegExp(`^${route.path.replace(/:\w+/g, "([^/]+)")}$`),
}));

function match(path) {
  for (const route of compiled) {
    const found = route.pattern.exec(path);
    if (found) {
      const values = found.slice(1).map(decode);
      return { route, params: Object.fromEntries(route.names.map((name, i) => [name, values[i]])) };
    }
  }
  return null;
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

let latest = 0;

/** Load the page of the current address and show it. A slower, older answer never wins. */
export async function followAddress() {
  const address = location.hash || "#/";
  const [path, search = ""] = address.slice(1).split("?");
  const query = Object.fromEntries(new URLSearchParams(search));
  const found = match(path);
  const ticket = ++latest;
  if (!found) {
    place.set({ address, path, query, params: {}, route: null, page: null });
    return;
  }
  try {
    const [module] = await Promise.all([found.route.load(), loadWords(...found.route.words)]);
    if (ticket !== latest) return;
    place.set({ address, path, query, ...found, page: module.default });
  } catch (error) {
    if (ticket === latest) place.set({ address, path, query, ...found, page: null, error });
  }
}

export function startRouter() {
  addEventListener("hashchange", followAddress);
  return followAddress();
}
