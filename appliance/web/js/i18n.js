// Words, numbers and times in the reader's language. Catalogues are loaded by area, when needed.

import { fetchTwice } from "./fetching.js";
import { Store } from "./store.js";

export const LANGUAGES = { en: "English", zh: "简体中文" };
const LOCALES = { en: "en", zh: "zh-CN" };
const KEPT = "holdfast.language";

const catalogues = { en: {}, zh: {} };
const loading = new Map();
const areas = new Set();

export const language = new Store(chosenLanguage());

function chosenLanguage() {
  const kept = localStorage.getItem(KEPT);
  if (kept in LANGUAGES) return kept;
  return navigator.languages.some((tag) => tag.toLowerCase().startsWith("zh")) ? "zh" : "en";
}

/** Load the words of areas ("shell", "jobs", ...) in the current language; again is free. */
export async function loadWords(...names) {
  for (const name of names) areas.add(name);
  await Promise.all(names.map((name) => loadArea(language.value, name)));
}

function loadArea(tongue, name) {
  const place = `${tongue}/${name}`;
  if (!loading.has(place)) {
    const request = fetchTwice(new URL(`../i18n/${place}.json`, import.meta.url)).then(async (reply) => {
      if (!reply.ok) throw new Error(place);
      Object.assign(catalogues[tongue], await reply.json());
    });
    request.catch(() => loading.delete(place));
    loading.set(place, request);
  }
  return loading.get(place);
}

export async function setLanguage(tongue) {
  localStorage.setItem(KEPT, tongue);
  await Promise.all([...areas].map((name) => loadArea(tongue, name)));
  document.documentElement.lang = LOCALES[tongue];
  language.set(tongue);
}

/** The text of `key`, with `{name}` replaced; a plural is chosen by `values.count`. */
export function t(key, values = {}) {
  const text = pattern(key, values);
  return text === undefined ? key : text.replace(/\{(\w+)\}/g, (_, name) => shown(values[name]));
}

/** Is there a text of that key? For keys that are made of what the server says. */
export const has = (key) => key in catalogues[language.value];

/** Like `t`, but values may be elements: gives an array for a template. */
export function parts(key, values = {}) {
  const text = pattern(key, values) ?? key;
  return text.split(/(\{\w+\})/).map((piece) => {
    const name = /^\{(\w+)\}$/.exec(piece)?.[1];
    return name ? (typeof values[name] === "object" ? values[name] : shown(values[name])) : piece;
  });
}

function pattern(key, values) {
  const found = catalogues[language.value][key];
  if (found === undefined || typeof found === "string") return found;
  const kind = new Intl.PluralRules(LOCALES[language.value]).select(values.count ?? 0);
  return found[kind] ?? found.other;
}

function shown(value) {
  if (typeof value === "number") return number(value);
  return value === undefined || value === null ? "–" : String(value);
}

// ---- numbers and times --------------------------------------------------------------------------

const made = new Map();

/** Intl's objects are slow to make: one for each language and set of options. */
function format(kind, options) {
  const name = `${language.value} ${kind} ${JSON.stringify(options)}`;
  if (!made.has(name)) made.set(name, new Intl[kind](LOCALES[language.value], options));
  return made.get(name);
}

export const number = (value, digits = 0) =>
  format("NumberFormat", { maximumFractionDigits: digits }).format(value);

export const percent = (share, digits = 0) =>
  format("NumberFormat", { style: "percent", maximumFractionDigits: digits }).format(share);

const STEPS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** A size in binary units, as the command line shows it. */
export function size(bytes) {
  if (bytes === null || bytes === undefined) return "–";
  let value = bytes;
  let step = 0;
  while (Math.abs(value) >= 1024 && step < STEPS.length - 1) {
    value /= 1024;
    step += 1;
  }
  const digits = step && Math.abs(value) < 100 ? 1 : 0;
  const figure = format("NumberFormat", {
    minimumFractionDigits: digits, maximumFractionDigits: digits,
  }).format(value);
  return `${figure} ${STEPS[step]}`;
}

export const rate = (bytesPerS) => t("unit.per_second", { size: size(bytesPerS) });

/** A duration in the two largest units that matter. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const whole = Math.round(seconds);
  if (whole < 60) {
    return t("unit.s", { s: seconds < 10 && seconds % 1 ? number(seconds, 1) : whole });
  }
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return pair("min", minutes, "s", whole % 60);
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return pair("h", hours, "min", minutes % 60);
  return pair("d", Math.floor(hours / 24), "h", hours % 24);
}

/** "2 h 5 min", and "2 h" where the rest is nothing. */
function pair(large, count, small, rest) {
  const first = t(`unit.${large}`, { [large]: count });
  return rest ? t("unit.pair", { first, second: t(`unit.${small}`, { [small]: rest }) }) : first;
}

/** A duration in its largest unit: what sentences use. */
export function roughly(seconds) {
  const minutes = Math.round(seconds / 60);
  if (minutes < 1) return t("unit.less_than_minute");
  if (minutes < 90) return t("unit.minutes", { count: minutes });
  const hours = Math.round(minutes / 60);
  if (hours < 48) return t("unit.hours", { count: hours });
  return t("unit.days", { count: Math.round(hours / 24) });
}

const ago = [["day", 86400], ["hour", 3600], ["minute", 60]];

/** "14 minutes ago", "in 2 hours". */
export function relative(time) {
  if (!time) return "–";
  const seconds = (new Date(time) - Date.now()) / 1000;
  if (Math.abs(seconds) < 45) return t("unit.just_now");
  const [unit, length] = ago.find(([, s]) => Math.abs(seconds) >= s * 1.5) || ["minute", 60];
  return format("RelativeTimeFormat", { numeric: "auto" }).format(Math.round(seconds / length), unit);
}

/** A moment in the reader's own time zone. */
export function moment(time, { hasSeconds = false } = {}) {
  if (!time) return "–";
  const options = {
    year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit",
    hourCycle: "h23", ...(hasSeconds ? { second: "2-digit" } : {}),
  };
  return format("DateTimeFormat", options).format(new Date(time));
}

export const day = (time) =>
  time ? format("DateTimeFormat", { year: "numeric", month: "short", day: "numeric" })
    .format(new Date(time)) : "–";

export const clockTime = (time) =>
  time ? format("DateTimeFormat", { hour: "2-digit", minute: "2-digit", hourCycle: "h23" })
    .format(new Date(time)) : "–";

/** A time as Intl's `options` say, on a clock of 24 hours. */
export const written = (time, options) =>
  format("DateTimeFormat", { ...options, hourCycle: "h23" }).format(new Date(time));

export const list = (names) => format("ListFormat", { type: "conjunction" }).format(names);
