// Who is registered, who is talking and how it sounds, what just happened.

import { h } from "../dom.js";
import { duration, known, number, percent, span, t, time } from "../i18n.js";
import { button, callPath, field, mos, mosKind, table, tag, when } from "../parts.js";
import { sparkline } from "../charts.js";
import { get, getPage, post, remove } from "../server.js";

export const WANTS = /^(registration|call|media|server)\./;
export const TICK_MS = 1000;

const RATED_CALLS = 100;
const RATED_PER_NUMBER = 5;
const METER_POINTS = 60;
const RECENT = 20;
const SILENT_AFTER_S = 3;

const recent = [];
const meters = new Map();
let showsAll = false;

export function title() {
  return t("navNow");
}

export async function load() {
  const [events, calls, users, extensions, history] = await Promise.all([
    recent.length ? null : get("api/events"),
    get("api/calls?limit=1000"),
    get("api/users?limit=1000"),
    get("api/extensions?limit=1000"),
    getPage(`api/calls/history?limit=${RATED_CALLS}`),
  ]);
  events?.events.forEach(remember);
  const data = { calls, users, extensions, lines: lineQuality(history.rows), streams: [] };
  if (calls.length) await readMeters(data);
  return data;
}

/** Keep an event for the list of what just happened, unless it is there or belongs to the daily round. */
export function remember(event) {
  if (!event.time || event.type === "registration.refreshed" || recent.some((each) => each.id === event.id)) return;
  recent.unshift(event);
  recent.sort((one, other) => other.time.localeCompare(one.time));
  recent.length = Math.min(recent.length, RECENT);
}

export async function tick(data) {
  if (data.calls.length) await readMeters(data);
  return true;
}

// ------------------------------------------------------------------------------------------------ figures

/** Number to the mean quality of its last rated calls. */
function lineQuality(history) {
  const rated = new Map();
  for (const call of history) {
    const values = (call.media ?? []).map((figures) => figures.mos).filter((value) => value !== null);
    if (!values.length) continue;
    for (const who of [call.fromNumber, call.toNumber]) {
      const list = rated.get(who) ?? [];
      if (list.length < RATED_PER_NUMBER) list.push(Math.min(...values));
      rated.set(who, list);
    }
  }
  return new Map([...rated].map(([who, list]) => [who, list.reduce((sum, value) => sum + value) / list.length]));
}

async function readMeters(data) {
  data.streams = (await get("api/rtp-streams?limit=1000")).filter((stream) => stream.kind === "audio" && stream.active);
  const at = performance.now() / 1000;
  const seen = new Set();
  for (const stream of data.streams) {
    const key = `${stream.callId} ${stream.sender} ${stream.relayPort}`;
    seen.add(key);
    const meter = meters.get(key) ?? { last: null, rate: 0, rates: [] };
    meters.set(key, meter);
    stream.meter = meter;
    if (meter.last && at > meter.last.at) {
      meter.rate = (stream.packets - meter.last.packets) / (at - meter.last.at);
      meter.rates.push(meter.rate);
      if (meter.rates.length > METER_POINTS) meter.rates.shift();
    }
    meter.last = { at, packets: stream.packets };
  }
  for (const key of meters.keys()) if (!seen.has(key)) meters.delete(key);
}

// ------------------------------------------------------------------------------------------------ showing

export function show(data, _place, act, redraw) {
  return [
    h("h1", { class: "unseen", key: "title" }, t("navNow")),
    callsSection(data, act),
    numbersSection(data, act, redraw),
    dialSection(data, act),
    recentSection(),
  ];
}

function callsSection(data, act) {
  return h(
    "section",
    { key: "calls", "aria-labelledby": "calls-title" },
    h("h2", { id: "calls-title" }, t("callsNow"), " ", h("span", { class: "count" }, number(data.calls.length))),
    data.calls.length ? null : h("p", { class: "quiet" }, t("noCalls")),
    h("div", { class: "cards" }, data.calls.map((call) => callCard(call, data, act))),
  );
}

function callCard(call, data, act) {
  const talked = call.answerTime ? (Date.now() - new Date(call.answerTime)) / 1000 : null;
  const names = { from: call.fromNumber, to: call.toNumber };
  const hangUp = () =>
    confirm(t("hangUpAsk", names)) && act(() => remove(`api/calls/${encodeURIComponent(call.callId)}`), t("hungUp"));
  return h(
    "article",
    { key: `${call.callId} ${call.inviteTime}`, class: "card call", "aria-label": t("fromTo", names) },
    h("h3", {}, t("fromTo", names)),
    h(
      "p",
      {},
      tag(t(`state${call.state}`), call.state === "ESTABLISHED" ? "good" : "fair"),
      " ",
      talked === null ? null : h("span", { class: "clock" }, span(talked)),
    ),
    data.streams.filter((stream) => stream.callId === call.callId).map((stream) => meter(stream)),
    h(
      "p",
      { class: "actions" },
      h("a", { class: "button", href: callPath(call) }, t("details")),
      button(t("hangUp"), hangUp, `${t("hangUp")}: ${t("fromTo", names)}`, "danger"),
    ),
  );
}

function meter(stream) {
  const who = t(stream.sender);
  const lost = stream.packets ? stream.lost / (stream.packets + Math.max(0, stream.lost)) : 0;
  const quiet = stream.lastPacketAt ? (Date.now() - new Date(stream.lastPacketAt)) / 1000 : null;
  const isSilent = quiet === null || quiet > SILENT_AFTER_S;
  const values = {
    who: t("hears", { who }),
    packets: number(stream.meter.rate),
    share: percent(Math.max(0, lost), 1),
    ms: number(stream.jitter, 1),
  };
  return h(
    "div",
    { key: `${stream.sender} ${stream.relayPort}`, class: `meter ${isSilent ? "bad" : mosKind(stream.mos ?? 4.4)}` },
    h("span", { class: "who" }, values.who),
    sparkline(stream.meter.rates, METER_POINTS, t("meterHelp", values)),
    h(
      "span",
      { class: "figures" },
      quiet === null
        ? t("meterNone")
        : isSilent
          ? t("meterSilent", { span: span(quiet) })
          : [
              t("meterPackets", { n: values.packets }),
              t("meterLost", values),
              t("meterJitter", values),
              stream.mos === null ? null : t("meterMos", { mos: number(stream.mos, 1) }),
            ]
              .filter(Boolean)
              .join(" · "),
    ),
  );
}

function numbersSection(data, act, redraw) {
  const registered = new Map(data.users.map((user) => [user.number, user]));
  const busy = new Set(data.calls.flatMap((call) => [call.fromNumber, call.toNumber]));
  const isLong = data.extensions.length > 20;
  const numbers = isLong && !showsAll ? data.extensions.filter((each) => registered.has(each)) : data.extensions;
  const toggle = () => {
    showsAll = !showsAll;
    redraw();
  };
  return h(
    "section",
    { key: "numbers", "aria-labelledby": "numbers-title" },
    h("h2", { id: "numbers-title" }, t("numbers")),
    h("p", { class: "quiet" }, t("numbersHelp", { registered: number(data.users.length), all: number(data.extensions.length) })),
    numbers.length ? table(t("numbers"), numberColumns(registered, busy, data.lines, act), numbers, (each) => each) : null,
    isLong ? button(showsAll ? t("showRegistered") : t("showAll"), toggle) : null,
  );
}

function numberColumns(registered, busy, lines, act) {
  const ofUser = (cell) => (each) => (registered.has(each) ? cell(registered.get(each)) : null);
  return [
    { name: "number", isHead: true, cell: (each) => h("a", { href: `#/number/${encodeURIComponent(each)}` }, each) },
    { name: "state", cell: (each) => stateTag(each, registered, busy) },
    { name: "device", cell: ofUser((user) => devices(user)) },
    { name: "address", cell: ofUser((user) => [`${user.address} ${user.transport}`, user.contacts[0].behindNat ? h("span", { class: "quiet" }, ` ${t("behindNat")}`) : null]) },
    { name: "since", cell: ofUser((user) => when(user.registeredAt)) },
    { name: "expires", cell: ofUser((user) => h("time", { datetime: user.expiresAt }, t("inTime", { span: span((new Date(user.expiresAt) - Date.now()) / 1000) }))) },
    { name: "line", cell: (each) => lines.has(each) ? h("span", { title: t("lineHelp") }, mos(lines.get(each))) : null },
    { name: "actions", cell: (each) => numberAction(each, registered, act) },
  ];
}

function stateTag(each, registered, busy) {
  if (busy.has(each)) return tag(t("onThePhone"), "good");
  return registered.has(each) ? tag(t("registered"), "good") : tag(t("notRegistered"));
}

function devices(user) {
  const names = user.contacts.map((contact) => contact.userAgent || "–");
  return names.length > 1 ? h("ul", { class: "plain" }, names.map((name) => h("li", {}, name))) : names[0];
}

function numberAction(each, registered, act) {
  if (!registered.has(each)) return h("a", { href: `#/number/${encodeURIComponent(each)}`, "aria-label": `${t("whyNot")} ${each}` }, t("whyNot"));
  const deregister = () =>
    confirm(t("deregisterAsk", { number: each })) &&
    act(() => remove(`api/users/${encodeURIComponent(each)}`), t("deregistered", { number: each }));
  return button(t("deregister"), deregister, `${t("deregister")}: ${each}`);
}

function dialSection(data, act) {
  const dial = (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    const wish = { from: form.get("from"), to: form.get("to") };
    act(() => post("api/calls", wish, { "Idempotency-Key": crypto.randomUUID?.() ?? String(Math.random()) }), t("dialled", wish));
  };
  return h(
    "section",
    { key: "dial", "aria-labelledby": "dial-title" },
    h("h2", { id: "dial-title" }, t("dialTitle")),
    h("p", { class: "quiet" }, t("dialHelp")),
    h(
      "form",
      { onsubmit: dial, class: "row" },
      field(t("dialFrom"), h("select", { name: "from", required: true }, data.users.map((user) => h("option", { key: user.number }, user.number)))),
      field(t("dialTo"), h("input", { name: "to", required: true, size: 8, inputmode: "tel", autocomplete: "off" })),
      h("button", { type: "submit", disabled: !data.users.length }, t("dial")),
    ),
  );
}

function recentSection() {
  return h(
    "section",
    { key: "recent", "aria-labelledby": "recent-title" },
    h("h2", { id: "recent-title" }, t("recent")),
    recent.length
      ? h("ol", { class: "plain events" }, recent.map((event) => h("li", { key: event.id }, h("span", { class: "quiet" }, time(event.time)), " ", eventText(event))))
      : h("p", { class: "quiet" }, t("nothingYet")),
  );
}

/** An event in words; one of a type that this page has no words for is shown by its name. */
function eventText({ type, subject, data }) {
  const name = `event_${type}${variant(type, data)}`;
  const why = data.reason ?? "";
  const ended = data.terminationReason ?? "error";
  return known(name, null) === null
    ? `${type} ${subject ?? ""}`
    : t(name, {
        ...data,
        from: data.fromNumber,
        to: data.toNumber,
        who: data.sender ? t(data.sender) : "",
        why: known(`departure_${why}`, why),
        ending: known(`end_${ended}`, ended),
        talk: duration(data.duration ?? 0),
      });
}

/** Some types tell of a thing and of its opposite. */
function variant(type, data) {
  if (type === "call.held" && !data.held) return ".over";
  if (type === "server.warning" && data.resolved) return ".over";
  return type === "media.quality" && data.reason === "audio-good" ? ".over" : "";
}
