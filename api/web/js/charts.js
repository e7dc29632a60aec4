// Small charts as SVG. Each says in words what it shows, and lines never stand for values that nobody measured.

import { h } from "./dom.js";
import { number } from "./i18n.js";

const WIDTH = window.matchMedia("(max-width: 46rem)").matches ? 360 : 720;
const HEIGHT = 180;
const LEFT = 44;
const BOTTOM = 24;
const TOP = 8;
const PLOT_W = WIDTH - LEFT - 8;
const PLOT_H = HEIGHT - BOTTOM - TOP;
const MOST_LABELS = WIDTH / 90;

/** The last rates of packets of one direction. */
export function sparkline(values, room, label) {
  const top = Math.max(60, ...values);
  const points = values.map((value, place) => `${((place + room - values.length) / (room - 1)) * 120},${28 - (value / top) * 26}`);
  return h(
    "svg",
    { class: "spark", viewBox: "0 0 120 30", role: "img", "aria-label": label },
    h("polyline", { points: points.join(" ") }),
  );
}

/** Bars on top of each other. `points`: {label, values: [..]}; `classes` as many as values. */
export function bars(points, classes, label) {
  const top = niceTop(Math.max(1, ...points.map((point) => point.values.reduce((sum, value) => sum + value, 0))));
  const step = PLOT_W / points.length;
  const width = Math.max(1, step * 0.8);
  return chart(label, top, 0, points, [
    points.flatMap((point, place) => {
      let below = 0;
      return point.values.map((value, kind) => {
        const height = (value / top) * PLOT_H;
        below += height;
        return h(
          "rect",
          { class: classes[kind], x: LEFT + place * step + (step - width) / 2, y: TOP + PLOT_H - below, width, height },
          h("title", {}, `${point.label}: ${number(value)}`),
        );
      });
    }),
  ]);
}

/** A line through the points whose `value` is known; a gap where it is not. */
export function line(points, bottom, top, label, digits = 1, unit = "") {
  const step = PLOT_W / points.length;
  const x = (place) => LEFT + (place + 0.5) * step;
  const y = (value) => TOP + PLOT_H - ((value - bottom) / (top - bottom)) * PLOT_H;
  const runs = [];
  points.forEach((point, place) => {
    if (point.value === null) return;
    const before = place > 0 && points[place - 1].value !== null;
    if (!before) runs.push([]);
    runs.at(-1).push(`${x(place)},${y(point.value)}`);
  });
  return chart(
    label,
    top,
    bottom,
    points,
    [
      runs.map((run) => h("polyline", { class: "curve", points: run.join(" ") })),
      points.map((point, place) =>
        point.value === null
          ? null
          : h(
              "circle",
              { class: "dot", cx: x(place), cy: y(point.value), r: 3 },
              h("title", {}, `${point.label}: ${number(point.value, digits)}${unit}`),
            ),
      ),
    ],
    unit,
  );
}

function chart(label, top, bottom, points, content, unit = "") {
  const every = Math.ceil(points.length / MOST_LABELS);
  const step = PLOT_W / points.length;
  return h(
    "svg",
    { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label },
    [0, 0.5, 1].map((share) => {
      const value = bottom + (top - bottom) * share;
      const y = TOP + PLOT_H * (1 - share);
      return [
        h("line", { class: "grid", x1: LEFT, x2: WIDTH - 8, y1: y, y2: y }),
        h("text", { class: "axis end", x: LEFT - 6, y: y + 4 }, `${number(value, Number.isInteger(value) ? 0 : 1)}${unit}`),
      ];
    }),
    content,
    points.map((point, place) =>
      place % every ? null : h("text", { class: "axis middle", x: LEFT + (place + 0.5) * step, y: HEIGHT - 6 }, point.label),
    ),
  );
}

/** A round number at or above, even, so that half of it is whole. */
function niceTop(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  const round = [1, 2, 4, 6, 8, 10].find((factor) => factor * power >= value) * power;
  return round < 2 ? 2 : round;
}
