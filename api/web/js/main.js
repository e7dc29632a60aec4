// The page: which section is shown, when it is read again, and what stands around it.

import { h, render } from "./dom.js";
import { language, t } from "./i18n.js";
import { follow, MISSED } from "./events.js";
import { get, post, Refusal, Silence } from "./server.js";
import { say, setSpeaker } from "./say.js";
import * as call from "./views/call.js";
import * as doctor from "./views/doctor.js";
import * as history from "./views/history.js";
import * as now from "./views/now.js";
import * as number from "./views/number.js";
import * as security from "./views/security.js";
import * as statistics from "./views/statistics.js";

const SECTIONS = [
  { path: "", name: "navNow", view: now },
  { path: "history", name: "navHistory", view: history },
  { path: "statistics", name: "navStatistics", view: statistics },
  { path: "security", name: "navSecurity", view: security },
  { path: "doctor", name: "navDoctor", view: doctor },
];
const PAGES = { ...Object.fromEntries(SECTIONS.map((each) => [each.path, each.view])), call, number };

const RETRY_MS = 3000;
const GATHER_MS = 150;
const HEALTH_MS = 15000;

const header = document.getElementById("header");
const main = document.getElementById("main");
const announcer = document.getElementById("announcer");

let place = readPlace();
let data = null;
let trouble = "";
let needsToken = false;
let tokenTrouble = "";
let isLive = false;
let health = null;
let reading = null;
let again = 0;
let ticking = 0;

function readPlace() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [section, ...rest] = path.split("/").map(decodeURIComponent);
  return { section, argument: rest.join("/"), query: new URLSearchParams(query ?? ""), view: PAGES[section] ?? now };
}

// ------------------------------------------------------------------------------------------------ reading

/** Read what the section shows, and show it; what is being read for an earlier place is forgotten. */
async function read() {
  clearTimeout(again);
  const mine = (reading = {});
  try {
    const found = await place.view.load(place);
    if (reading !== mine) return;
    data = found;
    trouble = "";
    needsToken = false;
  } catch (error) {
    if (reading !== mine) return;
    fail(error);
  }
  show();
}

function fail(error) {
  if (error instanceof Refusal && error.status === 401) needsToken = true;
  else if (error instanceof Silence) {
    trouble = t("silent");
    again = setTimeout(read, RETRY_MS);
  } else if (error instanceof Refusal) {
    trouble = error.message;
    if (error.status === 429 || error.status >= 500) again = setTimeout(read, RETRY_MS);
  } else throw error;
}

function readSoon() {
  clearTimeout(again);
  again = setTimeout(read, GATHER_MS);
}

async function readHealth() {
  try {
    health = await get("healthz");
  } catch (error) {
    if (!(error instanceof Refusal) && !(error instanceof Silence)) throw error;
    health = error.problem ?? null;
  }
  showHeader();
}

/** Do something the reader asked for, say how it went, and read again. */
async function act(task, done) {
  try {
    await task();
    say(done);
  } catch (error) {
    if (error instanceof Silence) say(t("silent"));
    else if (error instanceof Refusal) say(t("failed", { reason: error.message }));
    else throw error;
  }
  await read();
}

// ------------------------------------------------------------------------------------------------ showing

function show() {
  showHeader();
  const { view } = place;
  document.title = `${view.title(place, data)} · ${t("title")}`;
  if (needsToken) render(main, tokenForm());
  else {
    render(
      main,
      trouble ? h("p", { class: "notice bad", role: "alert", key: "trouble" }, trouble) : null,
      data === null ? (trouble ? null : h("p", { key: "loading" }, t("loading"))) : view.show(data, place, act, show),
    );
  }
}

function showHeader() {
  render(
    header,
    h("a", { class: "name", href: "#/" }, h("img", { src: "web/icon.svg", alt: "", width: 28, height: 28 }), t("title")),
    h(
      "nav",
      { "aria-label": t("sections") },
      SECTIONS.map(({ path, name, view }) =>
        h("a", { href: `#/${path}`, "aria-current": place.view === view ? "page" : null }, t(name)),
      ),
      h("a", { href: "api/docs" }, t("navApi")),
    ),
    h(
      "span",
      { class: isLive ? "link up" : "link", title: t("liveHelp"), id: "link" },
      isLive ? t("live") : t("notLive"),
    ),
    healthNotice(),
  );
}

function healthNotice() {
  if (!health?.problems?.length) return null;
  const name = health.status === 503 ? "notReady" : "degraded";
  return h("p", { class: "notice bad", role: "status" }, t(name, { problems: health.problems.join("; ") }));
}

function tokenForm() {
  const enter = async (event) => {
    event.preventDefault();
    const token = new FormData(event.target).get("token");
    try {
      await post("api/session", {}, { Authorization: `Bearer ${token}` });
      needsToken = false;
      tokenTrouble = "";
      start();
    } catch (error) {
      tokenTrouble = error instanceof Refusal && error.status !== 401 ? error.message : t("tokenWrong");
      show();
    }
  };
  return h(
    "section",
    { key: "token" },
    h("h1", {}, t("tokenTitle")),
    h("p", {}, t("tokenHelp")),
    h(
      "form",
      { onsubmit: enter },
      h("label", {}, t("token"), h("input", { name: "token", type: "password", autocomplete: "current-password", required: true })),
      h("button", { type: "submit" }, t("tokenEnter")),
      tokenTrouble ? h("p", { class: "notice bad", role: "alert" }, tokenTrouble) : null,
    ),
  );
}

// ------------------------------------------------------------------------------------------------ what happens

function onPlace() {
  const before = place;
  place = readPlace();
  if (before.view !== place.view || before.argument !== place.argument) data = null;
  clearInterval(ticking);
  if (place.view.TICK_MS) ticking = setInterval(tick, place.view.TICK_MS);
  show();
  read();
  if (before.view !== place.view) {
    main.focus();
    window.scrollTo(0, 0);
  }
}

/** Between two readings: what the section wants to know more often. */
async function tick() {
  if (document.hidden || data === null || needsToken) return;
  try {
    if (await place.view.tick(data, place)) show();
  } catch (error) {
    if (!(error instanceof Refusal) && !(error instanceof Silence)) throw error;
  }
}

function onEvent(event) {
  now.remember(event);
  if (place.view.WANTS?.test(event.type) || event.type === MISSED) readSoon();
  else if (place.view === now) show();
}

function onLive(value) {
  const wasLost = value && !isLive;
  isLive = value;
  showHeader();
  if (wasLost) {
    readSoon();
    readHealth();
  }
}

function start() {
  read();
  readHealth();
  follow(onEvent, onLive);
}

document.documentElement.lang = language;
document.getElementById("skip").textContent = t("skip");
setSpeaker((text) => {
  announcer.textContent = "";
  announcer.textContent = text;
  announcer.classList.add("said");
  clearTimeout(announcer.timer);
  announcer.timer = setTimeout(() => announcer.classList.remove("said"), 6000);
});
window.addEventListener("hashchange", onPlace);
document.addEventListener("visibilitychange", () => document.hidden || readSoon());
setInterval(readHealth, HEALTH_MS);
if (place.view.TICK_MS) ticking = setInterval(tick, place.view.TICK_MS);
show();
start();
