// Paths inside a point. Most are text; a name that is no UTF-8 makes its path bytes, in base64.

const toBytes = (base64) => Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
const toBase64 = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));

export const TOP = { path: "/" };

/** The place that the address of a page names. */
export function placeOfQuery(query) {
  if (query.path_base64) return { path: query.path || "/", path_base64: query.path_base64 };
  return { path: query.path || "/" };
}

/** What is asked of the server, and written into addresses of pages. */
export const queryOf = (place) =>
  place.path_base64 ? { path_base64: place.path_base64 } : { path: place.path };

/** The place of an entry of a folder. `path` is what is shown, `path_base64` what it really is. */
export function placeOfEntry(folder, entry) {
  const path = `${folder.path === "/" ? "" : folder.path}/${entry.name}`;
  if (!folder.path_base64 && !entry.name_base64) return { path };
  const above = folder.path_base64 ? toBytes(folder.path_base64) : encode(folder.path);
  const name = entry.name_base64 ? toBytes(entry.name_base64) : encode(entry.name);
  const isTop = above.length === 1;
  const bytes = new Uint8Array([...(isTop ? [] : above), SLASH, ...name]);
  return { path, path_base64: toBase64(bytes) };
}

const SLASH = 0x2f;
const encode = (text) => new TextEncoder().encode(text);

/** The places from the top to `place`, with their names. */
export function placesAbove(place) {
  const names = place.path.split("/").filter(Boolean);
  const bytes = place.path_base64 ? toBytes(place.path_base64) : null;
  const cuts = bytes ? [...bytes].flatMap((byte, at) => (byte === SLASH && at > 0 ? [at] : [])) : [];
  return names.map((name, depth) => {
    const path = `/${names.slice(0, depth + 1).join("/")}`;
    if (!bytes) return { name, place: { path } };
    const end = cuts[depth] ?? bytes.length;
    return { name, place: { path, path_base64: toBase64(bytes.slice(0, end)) } };
  });
}
