// Style sheets that only some pages need, loaded once, when the first of them is.

/** `addStyle("uplot.css", import.meta.url)`: resolves when the sheet applies. */
export function addStyle(path, from) {
  const address = new URL(path, from).href;
  const known = [...document.styleSheets].some((sheet) => sheet.href === address);
  if (known) return Promise.resolve();
  const sheet = Object.assign(document.createElement("link"), { rel: "stylesheet", href: address });
  return new Promise((resolve) => {
    sheet.onload = sheet.onerror = resolve;
    document.head.append(sheet);
  });
}
