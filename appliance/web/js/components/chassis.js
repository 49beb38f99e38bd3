// A picture of the box from the front: bays as they sit, each with a colour, a symbol and a word.
// Every bay is a button; disks without a bay are drawn as a row of their own.

import { classes, html } from "../view.js";
import { size, t } from "../i18n.js";
import { Icon } from "./icon.js";

const BAY = { width: 178, height: 66, gap: 10 };
const COLUMNS_MAX = 4;
const EAR_PX = 28;
const SMALLEST_PX = 700; // below that bays cannot be read: the picture is scrolled

/** Colour and symbol of a verdict; the word is `disks.verdict.NAME`. */
export const LOOKS = {
  good: { tone: "good", icon: "good" },
  notice: { tone: "info", icon: "info" },
  warning: { tone: "warn", icon: "warn" },
  critical: { tone: "bad", icon: "bad" },
  empty: { tone: "idle", icon: "idle" },
};

/** Bays by enclosure: [{name, bays}]; disks that sit in none come last, without a name. */
export function gatherBays(disks, slots) {
  const rest = new Set(disks);
  const groups = new Map();
  for (const slot of slots) {
    const disk = disks.find((one) => one.name === slot.disk) ?? null;
    rest.delete(disk);
    const bay = { key: `${slot.enclosure}/${slot.name}`, name: slot.name, slot, disk };
    groups.set(slot.enclosure, [...(groups.get(slot.enclosure) ?? []), bay]);
  }
  const found = [...groups].map(([name, bays]) => ({ name, bays }));
  if (rest.size) {
    const bays = [...rest].map((disk) => ({ key: disk.name, name: disk.name, slot: null, disk }));
    found.push({ name: "", bays });
  }
  return found;
}

/** The name of a look. */
export const verdictOf = (bay) => (bay.disk ? (bay.disk.verdict in LOOKS ? bay.disk.verdict : "notice") : "empty");

/** `bays` as `gatherBays` gives them; `selected` is a key. */
export function Chassis({ name, bays, selected, onSelect }) {
  const columns = Math.min(COLUMNS_MAX, bays.length);
  const rows = Math.ceil(bays.length / columns);
  const width = columns * (BAY.width + BAY.gap) + BAY.gap + 2 * EAR_PX;
  const height = rows * (BAY.height + BAY.gap) + BAY.gap;
  return html`<figure class="chassis">
    <figcaption class="note">${name}</figcaption>
    <div class="chassis-scroll">
      <svg viewBox=${`0 0 ${width} ${height}`} width=${width} style=${`min-width: ${Math.min(width, SMALLEST_PX)}px`} role="group" aria-label=${name}>
        <rect class="case" x="1" y="1" width=${width - 2} height=${height - 2} rx="10" />
        <${Ear} x=${EAR_PX / 2} height=${height} /><${Ear} x=${width - EAR_PX / 2} height=${height} />
        ${bays.map((bay, index) => {
          const x = EAR_PX + BAY.gap + (index % columns) * (BAY.width + BAY.gap);
          const y = BAY.gap + Math.floor(index / columns) * (BAY.height + BAY.gap);
          return html`<${Tray} ...${{ bay, x, y, onSelect }} isSelected=${bay.key === selected} key=${bay.key} />`;
        })}
      </svg>
    </div>
  </figure>`;
}

function Ear({ x, height }) {
  return html`<circle class="screw" cx=${x} cy="18" r="5" /><circle class="screw" cx=${x} cy=${height - 18} r="5" />`;
}

function Tray({ bay, x, y, isSelected, onSelect }) {
  const { disk, slot } = bay;
  const { tone, icon } = LOOKS[verdictOf(bay)];
  const word = t(`disks.verdict.${verdictOf(bay)}`);
  const isLit = Boolean(slot?.is_lit);
  const shown = [shorten(bay.name, 14), shorten(disk?.model || disk?.serial || word, 20), disk ? size(disk.size_bytes) : ""];
  // Begins with what is written, in its words, so that somebody who speaks it is understood.
  const said = [...shown, word, isLit && t("disks.lit"), bay.name !== shown[0] && bay.name];
  const onKeyDown = (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    onSelect(bay.key);
  };
  return html`<g class=${classes("bay", `is-${tone}`, isSelected && "is-selected")} transform=${`translate(${x} ${y})`}
    role="button" tabindex="0" aria-pressed=${isSelected ? "true" : "false"} aria-label=${said.filter(Boolean).join(" ")}
    onClick=${() => onSelect(bay.key)} onKeyDown=${onKeyDown}>
    <rect class="tray" width=${BAY.width} height=${BAY.height} rx="6" />
    <rect class="band" width="7" height=${BAY.height} rx="3.5" />
    <text class="bay-name" x="18" y="23">${shown[0]}</text>${" "}
    <text class="bay-text" x="18" y="41">${shown[1]}</text>${" "}
    <text class="bay-text" x="18" y="57">${shown[2]}</text>
    <g class="bay-state" transform=${`translate(${BAY.width - 31} 9)`}><${Icon} name=${icon} size=${20} /></g>
    ${slot?.has_light && html`<circle class=${classes("light", isLit && "is-lit")} cx=${BAY.width - 21} cy=${BAY.height - 15} r="5" />`}
  </g>`;
}

function shorten(text, length) {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}
