// Pieces that several sections are made of.

import { h } from "./dom.js";
import { duration, known, number, t, time, fullTime } from "./i18n.js";

/** A table that becomes a list of cards on a small screen. `columns`: {name, cell(row), isHead?}; a cell may be null. */
export function table(label, columns, rows, keyOf) {
  return h(
    "table",
    { "aria-label": label },
    h("thead", {}, h("tr", {}, columns.map((column) => h("th", { scope: "col" }, t(column.name))))),
    h(
      "tbody",
      {},
      rows.map((row) =>
        h(
          "tr",
          { key: keyOf(row) },
          columns.map((column) => tableCell(column, row)),
        ),
      ),
    ),
  );
}

function tableCell(column, row) {
  const content = column.cell(row);
  const isEmpty = content === null || content === undefined || content === "";
  return h(
    column.isHead ? "th" : "td",
    { scope: column.isHead ? "row" : null, "data-label": t(column.name), class: isEmpty ? "empty" : null },
    isEmpty ? "–" : content,
  );
}

export function when(iso) {
  return h("time", { datetime: iso, title: fullTime(iso) }, time(iso));
}

export function tag(text, kind = "") {
  return h("span", { class: `tag ${kind}` }, text);
}

export function button(text, onclick, label = null, kind = "") {
  return h("button", { type: "button", onclick, "aria-label": label, class: kind }, text);
}

/** The word for how a call ended, and whether that was well. */
export function ending(call) {
  const reason = call.terminationReason ?? "error";
  const kind = { normal: "good", cancelled: "", busy: "", noanswer: "", rejected: "", admin: "" }[reason] ?? "bad";
  return h("span", { class: `tag ${kind}`, title: call.reasonText }, known(`end_${reason}`, reason));
}

/** The quality of sound from 1 to about 4.4, with a word's worth of colour. */
export function mos(value) {
  if (value === null || value === undefined) return null;
  return h("span", { class: `tag ${mosKind(value)}` }, number(value, 1));
}

export function mosKind(value) {
  return value >= 4 ? "good" : value >= 3.1 ? "fair" : "bad";
}

/** The worst sound of an ended call: what somebody may have complained about. */
export function worstMos(call) {
  const rated = (call.media ?? []).map((figures) => figures.mos).filter((value) => value !== null);
  return rated.length ? Math.min(...rated) : null;
}

export function talk(call) {
  return call.answerTime ? duration(call.duration) : null;
}

export function callLink(call) {
  return h("a", { href: callPath(call) }, t("fromTo", { from: call.fromNumber, to: call.toNumber }));
}

export function callPath(call) {
  return `#/call/${encodeURIComponent(call.callId)}?at=${call.inviteTime}`;
}

export function field(label, input) {
  return h("label", {}, h("span", {}, label), input);
}
