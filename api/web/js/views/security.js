// Who could not register and why, and who is not listened to.

import { h } from "../dom.js";
import { language, t } from "../i18n.js";
import { button, field, table, when } from "../parts.js";
import { findings } from "../findings.js";
import { getPage, post, remove } from "../server.js";

export const WANTS = /^(security\.|registration\.failed)/;

const HOUR_S = 3600;

export function title() {
  return t("navSecurity");
}

export async function load() {
  const [failures, bans] = await Promise.all([
    getPage(`api/registrations/failures?limit=200&lang=${language}`),
    getPage("api/bans?limit=200"),
  ]);
  return { failures: failures.rows, bans: bans.rows };
}

export function show(data, _place, act) {
  return [h("h1", { key: "title" }, t("navSecurity")), failuresSection(data.failures), bansSection(data.bans, act), banForm(act)];
}

function failuresSection(failures) {
  const columns = [
    { name: "number", isHead: true, cell: (each) => each.number },
    { name: "address", cell: (each) => `${each.address} ${each.transport}` },
    { name: "device", cell: (each) => each.userAgent },
    { name: "lastTime", cell: (each) => [when(each.lastAt), ` (${t("attempts", { n: each.count })})`] },
    { name: "reason", cell: (each) => (each.explanation ? findings(each.explanation, true) : each.reason) },
  ];
  return h(
    "section",
    { key: "failures" },
    h("h2", {}, t("failuresTitle")),
    failures.length
      ? table(t("failuresTitle"), columns, failures, (each) => `${each.number} ${each.address} ${each.firstAt} ${each.statusCode}`)
      : h("p", { class: "quiet" }, t("noFailures")),
  );
}

function bansSection(bans, act) {
  const lift = (ban) => () =>
    act(() => remove(`api/bans/${ban.address}`), t("lifted", { address: ban.address }));
  const columns = [
    { name: "address", isHead: true, cell: (ban) => ban.address },
    { name: "since", cell: (ban) => when(ban.bannedAt) },
    { name: "until", cell: (ban) => (ban.expiresAt ? when(ban.expiresAt) : t("forever")) },
    { name: "reason", cell: (ban) => ban.reason },
    { name: "actions", cell: (ban) => button(t("lift"), lift(ban), `${t("lift")}: ${ban.address}`) },
  ];
  return h(
    "section",
    { key: "bans" },
    h("h2", {}, t("bansTitle")),
    bans.length ? table(t("bansTitle"), columns, bans, (ban) => ban.address) : h("p", { class: "quiet" }, t("noBans")),
  );
}

function banForm(act) {
  const ban = (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    const wish = { address: form.get("address").trim() };
    if (form.get("reason").trim()) wish.reason = form.get("reason").trim();
    if (form.get("duration")) wish.duration = Number(form.get("duration"));
    act(() => post("api/bans", wish), t("banned", wish));
  };
  const spans = [
    ["banHour", HOUR_S],
    ["banDay", 24 * HOUR_S],
    ["banForever", ""],
  ];
  return h(
    "section",
    { key: "ban" },
    h("h2", {}, t("banTitle")),
    h(
      "form",
      { class: "row", onsubmit: ban },
      field(t("banAddress"), h("input", { name: "address", required: true, size: 20, autocomplete: "off" })),
      field(t("banReason"), h("input", { name: "reason", maxlength: 200, autocomplete: "off" })),
      field(t("banFor"), h("select", { name: "duration" }, spans.map(([name, seconds]) => h("option", { key: name, value: String(seconds) }, t(name))))),
      h("button", { type: "submit" }, t("ban")),
    ),
  );
}
