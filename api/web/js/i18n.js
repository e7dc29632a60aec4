// The language of the page, and how it writes numbers, times and durations.

import { TEXTS as EN } from "./texts-en.js";
import { TEXTS as RU } from "./texts-ru.js";

const LANGUAGES = { en: EN, ru: RU };

/** The first of the browser's languages that the page has, else English. */
export const language = (navigator.languages ?? [navigator.language])
  .map((name) => name.slice(0, 2).toLowerCase())
  .find((name) => name in LANGUAGES) ?? "en";

const texts = LANGUAGES[language];
const plurals = new Intl.PluralRules(language);
const clock = new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const shortClock = new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat(language, { day: "numeric", month: "short" });
const full = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "medium" });

/** The text of that name with `{placeholders}` filled in; where it has forms for numbers, `n` chooses. */
export function t(name, values = {}) {
  let text = texts[name] ?? EN[name] ?? name;
  if (typeof text === "object") text = text[plurals.select(values.n)] ?? text.other;
  return text.replace(/\{(\w+)\}/g, (all, key) => (key in values ? values[key] : all));
}

/** The text of that name, or `otherwise` where there is none: for words that the server may have more of. */
export function known(name, otherwise) {
  return name in texts ? t(name) : otherwise;
}

export function number(value, digits = 0) {
  return value === null || value === undefined
    ? "–"
    : value.toLocaleString(language, { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

export function percent(share, digits = 0) {
  return share === null || share === undefined ? "–" : `${number(share * 100, digits)} %`;
}

/** Seconds as people read them: 42 s, 3:07 min, 1:02:03 h. */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return t("seconds", { s: whole });
  const two = (value) => String(value).padStart(2, "0");
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return t("minutes", { m: minutes, s: two(whole % 60) });
  return t("hours", { h: Math.floor(minutes / 60), m: two(minutes % 60), s: two(whole % 60) });
}

/** How long ago, or how long still, in the largest unit that says enough. */
export function span(seconds) {
  const left = Math.max(0, seconds);
  if (left < 90) return t("seconds", { s: Math.round(left) });
  if (left < 5400) return t("aboutMinutes", { n: Math.round(left / 60) });
  if (left < 129600) return t("aboutHours", { n: Math.round(left / 3600) });
  return t("aboutDays", { n: Math.round(left / 86400) });
}

export function time(iso) {
  if (!iso) return "–";
  const at = new Date(iso);
  return isToday(at) ? clock.format(at) : `${day.format(at)}, ${shortClock.format(at)}`;
}

export function fullTime(iso) {
  return iso ? full.format(new Date(iso)) : "–";
}

export function hourOf(iso) {
  return shortClock.format(new Date(iso));
}

export function dayOf(iso) {
  return day.format(new Date(iso));
}

function isToday(at) {
  return at.toDateString() === new Date().toDateString();
}
