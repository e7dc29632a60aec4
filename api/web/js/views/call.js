// One call: what happened and why, how it sounded, every message.

import { h } from "../dom.js";
import { findings } from "../findings.js";
import { duration, known, language, number, percent, t } from "../i18n.js";
import { ladder } from "../ladder.js";
import { ending, mos, table, talk, when } from "../parts.js";
import { line } from "../charts.js";
import { get } from "../server.js";

export const WANTS = /^(call|media)\./;

const BEST_MOS = 5;

let chosen = null;

export function title(_place, data) {
  return data ? t("callTitle", { from: data.call.fromNumber, to: data.call.toNumber }) : t("details");
}

export async function load(place) {
  const path = `api/calls/${encodeURIComponent(place.argument)}`;
  const which = place.query.has("at") ? `inviteTime=${encodeURIComponent(place.query.get("at"))}` : "";
  const [call, explanation] = await Promise.all([
    get(`${path}?${which}`),
    get(`${path}/explain?lang=${language}&${which}`),
  ]);
  // Of old calls the line in the history is left, but no trace.
  const [steps, messages, quality] = call.trace.kept
    ? await Promise.all(["ladder", "messages", "quality"].map((part) => get(`${path}/${part}?${which}`)))
    : [null, null, null];
  return { call, path, which, explanation, steps, messages, quality };
}

export function show(data, place, _act, redraw) {
  return [
    h("h1", { key: "title" }, title(place, data)),
    whySection(data.explanation),
    factsSection(data.call),
    soundSection(data),
    ladderSection(data, redraw),
  ];
}

function whySection(explanation) {
  return h(
    "section",
    { key: "why" },
    h("h2", {}, t("whyTitle")),
    h("p", { class: "summary" }, explanation.summary),
    explanation.findings.length ? findings(explanation.findings) : null,
  );
}

function factsSection(call) {
  const rows = [
    ["began", when(call.inviteTime)],
    ["rang", call.ringTime && when(call.ringTime)],
    ["answered", call.answerTime && when(call.answerTime)],
    ["ended", call.endTime && [when(call.endTime), " ", ending(call)]],
    ["talked", call.answerTime && talk(call)],
    ["endedBy", call.endedBy && known(call.endedBy, call.endedBy)],
    ["status", call.statusCode],
    ["caller", call.fromAddress],
    ["callee", call.toAddress],
    ["callId", call.callId],
  ];
  return h(
    "section",
    { key: "facts" },
    h("h2", {}, t("facts")),
    h("dl", { class: "facts" }, rows.filter(([, value]) => value).map(([name, value]) => [h("dt", { key: `${name} name` }, t(name)), h("dd", { key: name }, value)])),
  );
}

function soundSection({ call, quality }) {
  const media = (call.media ?? []).filter((figures) => figures.kind === "audio" && figures.packets);
  const columns = [
    { name: "who", isHead: true, cell: (each) => t("soundOf", { who: t(each.sender) }) },
    { name: "codec", cell: (each) => each.codec },
    { name: "packets", cell: (each) => number(each.packets) },
    { name: "lost", cell: (each) => percent(each.packets ? Math.max(0, each.lost) / (each.packets + Math.max(0, each.lost)) : 0, 1) },
    { name: "jitterMs", cell: (each) => `${number(each.jitter, 1)} ms` },
    { name: "late", cell: (each) => number(each.outOfOrder) },
    { name: "mos", cell: (each) => mos(each.mos) },
  ];
  return h(
    "section",
    { key: "sound" },
    h("h2", {}, t("soundTitle")),
    media.length ? table(t("soundTitle"), columns, media, (each) => `${each.sender} ${media.indexOf(each)}`) : h("p", { class: "quiet" }, t("noSoundKept")),
    (quality?.streams ?? []).filter((stream) => stream.samples.length > 1).map(overTime),
  );
}

function overTime(stream, place) {
  const points = stream.samples.map((sample) => ({ label: duration(sample.offset), value: sample.mos }));
  const label = `${t("soundOf", { who: t(stream.sender) })}: ${t("mos")}, ${t("overTime")}`;
  return h("figure", { key: `quality ${place}` }, h("figcaption", {}, label), line(points, 1, BEST_MOS, label));
}

function ladderSection(data, redraw) {
  if (!data.steps?.steps.length) return h("section", { key: "ladder" }, h("h2", {}, t("ladderTitle")), h("p", { class: "quiet" }, t("noTrace")));
  const choose = (index) => {
    chosen = chosen === index ? null : index;
    redraw();
  };
  return h(
    "section",
    { key: "ladder" },
    h("h2", {}, t("ladderTitle")),
    h(
      "p",
      { class: "spread" },
      h("span", { class: "quiet" }, t("ladderHelp")),
      h(
        "span",
        { class: "actions" },
        h("a", { class: "button", href: `${data.path}/pcap?${data.which}`, download: "" }, t("download")),
        h("a", { class: "button", href: `${data.path}/ladder?format=text&${data.which}` }, t("asText")),
      ),
    ),
    ladder(data.steps, chosen, choose),
    message(data),
  );
}

function message({ messages }) {
  const found = messages?.find((each) => each.index === chosen);
  if (!found) return null;
  return h(
    "div",
    { key: `message ${chosen}`, "aria-live": "polite" },
    h("h3", {}, t("messageTitle", { what: found.summary, when: `+${number(found.offset, 3)} s` })),
    found.text ? h("pre", { tabindex: 0 }, found.text) : h("p", { class: "quiet" }, t("messageGone")),
  );
}
