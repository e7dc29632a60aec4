// How many calls, how many answered, how they sounded, over time.

import { h } from "../dom.js";
import { dayOf, duration, hourOf, known, number, percent, t } from "../i18n.js";
import { bars, line } from "../charts.js";
import { mos, table } from "../parts.js";
import { get } from "../server.js";

export const WANTS = /^call\.(ended|failed)$/;

const PERIODS = ["today", "last7Days", "last30Days"];
const BEST_MOS = 5;

export function title() {
  return t("statisticsTitle");
}

export async function load(place) {
  const period = periodOf(place);
  const [statistics, timeline] = await Promise.all([get("api/statistics"), get(`api/statistics/timeline?period=${period}`)]);
  return { periods: statistics.periods, timeline };
}

function periodOf(place) {
  const wanted = place.query.get("period");
  return PERIODS.includes(wanted) ? wanted : "today";
}

export function show(data, place) {
  const period = periodOf(place);
  return [
    h("h1", { key: "title" }, t("statisticsTitle")),
    data.periods ? periodTable(data.periods, period) : h("p", { class: "notice bad", key: "none" }, t("noHistory")),
    h(
      "section",
      { key: "charts", "aria-label": t(period) },
      h("h2", {}, `${t(period)}, ${t(data.timeline.bucket === "hour" ? "byHour" : "byDay")}`),
      charts(data.timeline),
    ),
    data.periods ? reasons(data.periods[period]) : null,
  ];
}

function periodTable(periods, chosen) {
  const choose = (name) =>
    h("a", { href: `#/statistics?period=${name}`, "aria-current": name === chosen ? "true" : null }, t(name));
  const columns = [
    { name: "period", isHead: true, cell: choose },
    { name: "calls", cell: (name) => number(periods[name].totalCalls) },
    { name: "answerRate", cell: (name) => percent(periods[name].answerRate) },
    { name: "averageTalk", cell: (name) => (periods[name].averageDuration === null ? null : duration(periods[name].averageDuration)) },
    { name: "averageMos", cell: (name) => mos(periods[name].averageMos) },
  ];
  return h("section", { key: "periods" }, table(t("statisticsTitle"), columns, PERIODS, (name) => name));
}

function charts(timeline) {
  const label = timeline.bucket === "hour" ? hourOf : dayOf;
  const points = timeline.points.map((point) => ({ ...point, label: label(point.since) }));
  const figure = (name, picture, ...legend) => h("figure", { key: name }, h("figcaption", {}, t(name), legend), picture);
  const legend = (kind, name) => h("span", { class: `legend ${kind}` }, t(name));
  return [
    figure(
      "chartCalls",
      bars(
        points.map((point) => ({ label: point.label, values: [point.answeredCalls, point.totalCalls - point.answeredCalls] })),
        ["answered", "unanswered"],
        t("chartCalls"),
      ),
      legend("answered", "chartAnswered"),
      legend("unanswered", "chartUnanswered"),
    ),
    figure(
      "chartRate",
      line(
        points.map((point) => ({ label: point.label, value: point.totalCalls ? (100 * point.answeredCalls) / point.totalCalls : null })),
        0,
        100,
        t("chartRate"),
        0,
        " %",
      ),
    ),
    figure("chartMos", line(points.map((point) => ({ label: point.label, value: point.averageMos })), 1, BEST_MOS, t("chartMos"))),
    h(
      "details",
      { key: "table" },
      h("summary", {}, t("chartAsTable")),
      table(
        t("chartAsTable"),
        [
          { name: "when", isHead: true, cell: (point) => point.label },
          { name: "calls", cell: (point) => number(point.totalCalls) },
          { name: "answered", cell: (point) => number(point.answeredCalls) },
          { name: "averageMos", cell: (point) => mos(point.averageMos) },
        ],
        points,
        (point) => point.since,
      ),
    ),
  ];
}

function reasons(period) {
  const rows = Object.entries(period.reasons).sort((one, other) => other[1] - one[1]);
  if (!rows.length) return null;
  return h(
    "section",
    { key: "reasons" },
    h("h2", {}, t("reasons")),
    h(
      "ul",
      { class: "plain bars" },
      rows.map(([reason, count]) =>
        h(
          "li",
          { key: reason },
          h("span", {}, known(`end_${reason}`, reason)),
          h("meter", { min: 0, max: period.totalCalls, value: count, "aria-label": known(`end_${reason}`, reason) }),
          h("span", {}, number(count)),
        ),
      ),
    ),
  );
}
