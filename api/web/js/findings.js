// What the server found out, in its own words: the sentence, what to do, and what it rests on.

import { h } from "./dom.js";
import { known, t, time } from "./i18n.js";

/** `all`: what the API calls findings, best first. `isShort` leaves the evidence out. */
export function findings(all, isShort = false) {
  return h(
    "ul",
    { class: "plain findings" },
    all.map((each) =>
      h(
        "li",
        { key: `${each.rule} ${each.sentence}`, class: `finding ${each.severity ?? ""}` },
        each.severity ? h("span", { class: `tag ${kindOf(each.severity)}` }, known(`severity_${each.severity}`, each.severity)) : null,
        h("p", { class: "sentence" }, each.sentence),
        each.remedy ? h("p", { class: "remedy" }, h("strong", {}, `${t("whatToDo")}: `), each.remedy) : null,
        isShort ? null : evidence(each),
      ),
    ),
  );
}

function evidence(finding) {
  const rows = finding.evidence ?? [];
  if (!rows.length) return null;
  const sure = finding.confidence ? ` (${known(`confidence_${finding.confidence}`, finding.confidence)})` : "";
  return h(
    "details",
    {},
    h("summary", {}, t("evidence") + sure),
    h("ul", {}, rows.map((row) => h("li", {}, row.at ? [h("span", { class: "quiet" }, time(row.at)), " "] : null, row.text, row.value === null || row.value === undefined ? null : `: ${row.value}`))),
  );
}

function kindOf(severity) {
  return { info: "", warning: "fair" }[severity] ?? "bad";
}
