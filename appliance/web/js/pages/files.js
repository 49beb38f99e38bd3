// The files inside a point: folders to walk through, files and whole folders to download.

import { html, useState } from "../view.js";
import { moment, size, t } from "../i18n.js";
import { at } from "../api.js";
import { usePages } from "../resource.js";
import { href } from "../router.js";
import { LinkButton } from "../components/button.js";
import { Icon } from "../components/icon.js";
import { TOP, placeOfEntry, placeOfQuery, placesAbove, queryOf } from "../components/inside_path.js";
import { Card, Page } from "../components/page.js";
import { More, Table } from "../components/table.js";
import { Loading, Notice } from "../components/trouble.js";

const KINDS = { directory: "folder", file: "file", symlink: "link" };
const PAGE = 500;

export default function Files({ params, query }) {
  const { machine, time } = params;
  const place = placeOfQuery(query);
  const base = at`/points/${machine}/${time}/files`;
  const link = (to) => `${href("/files", machine, time)}?${new URLSearchParams(to)}`;
  const back = { href: `${href("/recover", machine)}?point=${time}`, text: t("files.back", { machine }) };
  return html`<${Page} title=${t("files.title", { machine })} lead=${t("files.lead", { when: moment(time) })} back=${back}>
    <${Folder} ...${{ base, place, link }} key=${JSON.stringify(place)} />
  <//>`;
}

function Folder({ base, place, link }) {
  const pages = usePages(base, { query: queryOf(place), limit: PAGE });
  const [wanted, setWanted] = useState("");
  const archive = addressOf(`${base}/archive`, { ...queryOf(place), format: "zip" });
  return html`<${Card} title=${html`<${Crumbs} place=${place} link=${link} />`}
    action=${html`<${LinkButton} icon="download" href=${archive} download="">${t("files.zip")}<//>`}>
    <${Loading} resource=${pages}>
      ${pages.notes?.map((note) => html`<${Notice}><p lang="en">${note}</p><//>`)}
      <${Volumes} volumes=${pages.filesystems ?? []} link=${link} />
      <label class="field search">
        <span class="unseen">${t("files.filter")}</span>
        <input type="search" placeholder=${t("files.filter")} value=${wanted}
          onInput=${(event) => setWanted(event.currentTarget.value)} />
      </label>
      <${Entries} entries=${choose(pages.items ?? [], wanted)} ...${{ base, place, link }} />
      <${More} pages=${pages} />
      ${pages.is_cut && html`<${Notice} tone="warn"><p>${t("files.cut")}</p><//>`}
    <//>
  <//>`;
}

const addressOf = (path, query) => `/api/v1${path}?${new URLSearchParams(query)}`;

/** Those that hold `wanted`, folders first. */
function choose(entries, wanted) {
  const rank = (entry) => (entry.kind === "directory" ? 0 : 1);
  const found = entries.filter((entry) => entry.name.toLowerCase().includes(wanted.toLowerCase()));
  return found.sort((one, other) => rank(one) - rank(other));
}

function Crumbs({ place, link }) {
  const above = placesAbove(place);
  return html`<nav class="crumbs" aria-label=${t("files.where")}>
    <a href=${link(TOP)} aria-current=${above.length ? null : "page"}><${Icon} name="disks" size=${16} /> ${t("files.top")}</a>
    ${above.map((one, depth) => html`<span aria-hidden="true">/</span>
      <a href=${link(one.place)} aria-current=${depth === above.length - 1 ? "page" : null}>${one.name}</a>`)}
  </nav>`;
}

function Volumes({ volumes, link }) {
  if (!volumes.length) return null;
  return html`<ul class="tiles">
    ${volumes.map((one) => html`<li key=${one.path}><a class="tile" href=${link({ path: one.path })}>
      <${Icon} name="disks" size=${20} />
      <span><strong>${one.label || one.path}</strong><span class="note">${one.kind} · ${size(one.size_bytes)}</span></span>
    </a></li>`)}
  </ul>`;
}

function Entries({ entries, base, place, link }) {
  if (!entries.length) return html`<p class="muted">${t("files.none")}</p>`;
  const columns = [
    { key: "name", label: t("files.name"), isHead: true, cell: (entry) => html`<${Name} ...${{ entry, place, link }} />` },
    { key: "size", label: t("files.size"), isNumber: true, cell: (entry) => (entry.kind === "file" ? size(entry.size_bytes) : "") },
    { key: "modified", label: t("files.modified"), cell: (entry) => (entry.modified ? moment(entry.modified) : "") },
    { key: "rights", label: t("files.rights"), cell: (entry) => html`<span class="mono">${entry.mode ?? ""}</span>` },
    { key: "get", label: t("files.get"), cell: (entry) => html`<${Get} ...${{ entry, base, place }} />` },
  ];
  return html`<${Table} caption=${t("files.caption")} columns=${columns} rows=${entries}
    keyOf=${(entry) => entry.name_base64 ?? entry.name} />`;
}

function Name({ entry, place, link }) {
  const inside = html`<${Icon} name=${KINDS[entry.kind] ?? "unknown"} /> <span>${entry.name}</span>`;
  return html`<span class="file-name">
    ${entry.kind === "directory" ? html`<a href=${link(placeOfEntry(place, entry))}>${inside}</a>` : inside}
    ${entry.link && html`<span class="note">→ ${entry.link}</span>`}
    ${entry.trouble && html`<span class="note error-text" lang="en">${entry.trouble}</span>`}
  </span>`;
}

function Get({ entry, base, place }) {
  const isFile = entry.kind === "file";
  if (!isFile && entry.kind !== "directory") return null;
  const query = queryOf(placeOfEntry(place, entry));
  const address = isFile
    ? addressOf(`${base}/content`, query)
    : addressOf(`${base}/archive`, { ...query, format: "zip" });
  return html`<a class="get" href=${address} download=${isFile ? entry.name : `${entry.name}.zip`}>
    <${Icon} name="download" size=${16} /> ${t(isFile ? "files.file" : "files.as_zip")}<span class="unseen"> ${entry.name}</span>
  </a>`;
}
