// One number: can it be reached, and if not, why.

import { h } from "../dom.js";
import { findings } from "../findings.js";
import { language, t } from "../i18n.js";
import { callLink, ending, mos, table, talk, when, worstMos } from "../parts.js";
import { get, getPage } from "../server.js";

export const WANTS = /^(registration|call)\./;

const CALLS = 20;

export function title(place) {
  return t("whyNumberTitle", { number: place.argument });
}

export async function load(place) {
  const number = encodeURIComponent(place.argument);
  const [explanation, calls] = await Promise.all([
    get(`api/users/${number}/explain?lang=${language}`),
    getPage(`api/users/${number}/calls?history=true&limit=${CALLS}`),
  ]);
  return { explanation, calls: calls.rows };
}

export function show(data, place) {
  const columns = [
    { name: "when", cell: (call) => when(call.inviteTime) },
    { name: "who", isHead: true, cell: callLink },
    { name: "lasted", cell: talk },
    { name: "ending", cell: (call) => (call.endTime ? ending(call) : t(`state${call.state}`)) },
    { name: "quality", cell: (call) => mos(worstMos(call)) },
  ];
  return [
    h("h1", { key: "title" }, title(place)),
    h("section", { key: "why" }, h("p", { class: "summary" }, data.explanation.summary), findings(data.explanation.findings)),
    h(
      "section",
      { key: "calls" },
      h("h2", {}, t("calls")),
      data.calls.length ? table(t("calls"), columns, data.calls, (call) => `${call.callId} ${call.inviteTime}`) : h("p", { class: "quiet" }, t("nothingFound")),
    ),
  ];
}
