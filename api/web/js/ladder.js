// The messages of a call between its participants, from top to bottom; each can be chosen with mouse or keyboard.

import { h } from "./dom.js";
import { number, t } from "./i18n.js";

const COLUMN = 250;
const FIRST = 140;
const HEAD = 52;
const ROW = 30;
const MAX_NOTE = 110;

/** `ladder`: participants {id, name, address}, steps {offset, kind, from, to, label, ...}. */
export function ladder(data, chosen, onChoose) {
  const places = new Map(data.participants.map((each, place) => [each.id, FIRST + place * COLUMN]));
  const width = FIRST + (data.participants.length - 1) * COLUMN + 130;
  const height = HEAD + data.steps.length * ROW + 16;
  return h(
    "div",
    { class: "ladder" },
    h(
      "svg",
      { viewBox: `0 0 ${width} ${height}`, style: null, role: "group", "aria-label": t("ladderTitle") },
      data.participants.map((each) => participant(each, places.get(each.id), height)),
      data.steps.map((step, place) => {
        const y = HEAD + (place + 0.75) * ROW;
        return step.from
          ? arrow(step, places, y, width, step.index === chosen, () => onChoose(step.index))
          : note(step, y, width, place);
      }),
    ),
  );
}

function participant(each, x, height) {
  return h(
    "g",
    { key: each.id },
    h("text", { class: "party", x, y: 16 }, each.name),
    h("text", { class: "place", x, y: 32 }, each.address ?? ""),
    h("line", { class: "life", x1: x, x2: x, y1: HEAD - 12, y2: height }),
  );
}

function arrow(step, places, y, width, isChosen, choose) {
  const from = places.get(step.from);
  const to = places.get(step.to);
  const sign = Math.sign(to - from) || 1;
  const label = step.isRepeated ? `${step.label} (${t("repeated")})` : step.label;
  const kind = step.status >= 400 ? "bad" : step.status >= 200 ? "good" : "";
  return h(
    "g",
    {
      key: `message ${step.index}`,
      class: `arrow ${kind} ${step.isRepeated ? "repeated" : ""} ${isChosen ? "chosen" : ""}`,
      role: "button",
      tabindex: 0,
      "aria-pressed": isChosen ? "true" : "false",
      "aria-label": `${number(step.offset, 3)} s: ${label}`,
      onclick: choose,
      onkeydown: (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        choose();
      },
    },
    h("rect", { class: "hit", x: 0, y: y - ROW * 0.75, width, height: ROW }),
    h("text", { class: "time", x: 4, y: y + 4 }, `+${number(step.offset, 3)} s`),
    h("text", { class: "label", x: (from + to) / 2, y: y - 5 }, label),
    h("line", { x1: from, x2: to - sign * 8, y1: y, y2: y }),
    h("path", { d: `M${to} ${y} l${-9 * sign} -4.5 v9 z` }),
  );
}

function note(step, y, width, place) {
  const text = step.label.length > MAX_NOTE ? `${step.label.slice(0, MAX_NOTE)}…` : step.label;
  return h(
    "g",
    { key: `note ${place}` },
    h("text", { class: "time", x: 4, y: y + 4 }, `+${number(step.offset, 3)} s`),
    h("text", { class: "note", x: width / 2 + 40, y: y + 4 }, h("title", {}, step.label), text),
  );
}
