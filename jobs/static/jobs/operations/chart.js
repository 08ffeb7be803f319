// Completed and failed jobs per second of the last five minutes. A minute nobody watched is a gap, not a line.

import { rate } from "./words.js";

const SPAN = 300; // seconds
const HEIGHT = 100;
const GAP = 5; // seconds without a point

export class Chart {
  constructor(figure) {
    this.svg = figure.querySelector("svg");
    this.top = figure.querySelector("[data-top]");
    this.completed = this.svg.querySelector("[data-completed]");
    this.area = this.svg.querySelector("[data-area]");
    this.failed = this.svg.querySelector("[data-failed]");
    this.points = [];
  }

  fill(points) {
    this.points = points;
  }

  add(now, found) {
    if (found) this.points.push([now, found.completed, found.failed]);
    this.points = this.points.filter(([at]) => at > now - SPAN);
    this.#draw(now);
    this.svg.setAttribute("aria-label", `Now ${rate(found?.completed)} completed and ${rate(found?.failed)} failed jobs a second`);
  }

  #draw(now) {
    const top = ceiling(Math.max(1, ...this.points.map(([, completed, failed]) => Math.max(completed, failed))));
    this.top.textContent = `${rate(top)}/s`;
    const place = (at, value) => [(SPAN - (now - at)).toFixed(1), (HEIGHT * (1 - value / top)).toFixed(1)];
    const runs = split(this.points);
    this.completed.setAttribute("d", runs.map((run) => line(run.map(([at, done]) => place(at, done)))).join(""));
    this.failed.setAttribute("d", runs.map((run) => line(run.map(([at, , failed]) => place(at, failed)))).join(""));
    this.area.setAttribute("d", runs.map((run) => under(run.map(([at, done]) => place(at, done)))).join(""));
  }
}

function split(points) {
  const runs = [];
  points.forEach((point, index) => {
    if (index === 0 || point[0] - points[index - 1][0] > GAP) runs.push([]);
    runs.at(-1).push(point);
  });
  return runs;
}

const line = (places) => `M${places.map((place) => place.join(" ")).join("L")}`;
const under = (places) => `${line(places)}L${places.at(-1)[0]} ${HEIGHT}L${places[0][0]} ${HEIGHT}Z`;

// The next of 1, 2, 5, 10, 20, 50 …
function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value);
}
