// The findings of GET /api/doctor.

import { h } from "../dom.js";
import { findings } from "../findings.js";
import { language, t } from "../i18n.js";
import { button } from "../parts.js";
import { get } from "../server.js";

export function title() {
  return t("doctorTitle");
}

export async function load() {
  return get(`api/doctor?lang=${language}`);
}

export function show(data, _place, act) {
  return [
    h("h1", { key: "title" }, t("doctorTitle")),
    h("p", { key: "help", class: "spread" }, h("span", { class: "quiet" }, t("doctorHelp")), button(t("doctorAgain"), () => act(async () => {}, t("checked")))),
    h("section", { key: "findings" }, data.findings.length ? findings(data.findings) : h("p", {}, t("doctorFine"))),
  ];
}
