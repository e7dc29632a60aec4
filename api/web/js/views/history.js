// Ended calls, searched and paged by the server.

import { h } from "../dom.js";
import { language, number, t } from "../i18n.js";
import { callLink, ending, field, mos, table, talk, when, worstMos } from "../parts.js";
import { getPage } from "../server.js";

export const WANTS = /^call\.(ended|failed)$/;

const PAGE = 50;
const COLUMNS = [
  { name: "when", cell: (call) => when(call.inviteTime) },
  { name: "who", isHead: true, cell: callLink },
  { name: "lasted", cell: talk },
  { name: "ending", cell: ending },
  { name: "quality", cell: (call) => mos(worstMos(call)) },
  // The history has it in English alone; the page of a call says it in the reader's language.
  ...(language === "en" ? [{ name: "reason", cell: (call) => call.reasonText }] : []),
];

export function title() {
  return t("historyTitle");
}

export async function load(place) {
  const query = filters(place.query);
  query.set("limit", PAGE);
  query.set("offset", offsetOf(place));
  return getPage(`api/calls/history?${query}`);
}

/** The filters of the address bar as the API wants them; a day ends when the next begins, in the reader's time. */
function filters(query) {
  const wanted = new URLSearchParams();
  if (query.get("number")) wanted.set("extension", query.get("number"));
  if (query.get("since")) wanted.set("since", startOf(query.get("since"), 0));
  if (query.get("until")) wanted.set("until", startOf(query.get("until"), 1));
  return wanted;
}

function startOf(date, daysLater) {
  const [year, month, day] = date.split("-").map(Number);
  return new Date(year, month - 1, day + daysLater).toISOString();
}

function offsetOf(place) {
  return Math.max(0, Number(place.query.get("offset")) || 0);
}

export function show(data, place) {
  return [
    h("h1", { key: "title" }, t("historyTitle")),
    h(
      "section",
      { key: "calls" },
      searchForm(place.query),
      h(
        "p",
        { class: "spread" },
        h("span", { role: "status" }, data.total ? t("found", { n: data.total, count: number(data.total) }) : t("nothingFound")),
        h("a", { href: `api/calls/history.csv?${filters(place.query)}`, download: "" }, t("asSpreadsheet")),
      ),
      data.rows.length ? table(t("historyTitle"), COLUMNS, data.rows, (call) => `${call.callId} ${call.inviteTime}`) : null,
      pages(data, place),
    ),
  ];
}

function searchForm(query) {
  const search = (event) => {
    event.preventDefault();
    const wanted = new URLSearchParams([...new FormData(event.target)].filter(([, value]) => value.trim()));
    location.hash = `#/history?${wanted}`;
  };
  return h(
    "form",
    { class: "row", role: "search", onsubmit: search },
    field(t("searchNumber"), h("input", { name: "number", value: query.get("number"), size: 8, inputmode: "tel", autocomplete: "off" })),
    field(t("searchSince"), h("input", { name: "since", type: "date", value: query.get("since") })),
    field(t("searchUntil"), h("input", { name: "until", type: "date", value: query.get("until") })),
    h("button", { type: "submit" }, t("search")),
    h("a", { class: "button", href: "#/history" }, t("searchAll")),
  );
}

function pages(data, place) {
  const offset = offsetOf(place);
  const link = (text, to) => {
    const query = new URLSearchParams(place.query);
    query.set("offset", to);
    return h("a", { class: "button", href: `#/history?${query}` }, text);
  };
  return h(
    "p",
    { class: "actions" },
    offset > 0 ? link(t("newer"), Math.max(0, offset - PAGE)) : null,
    offset + PAGE < data.total ? link(t("older"), offset + PAGE) : null,
  );
}
