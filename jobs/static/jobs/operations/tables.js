// The five tables of the page: which columns they have and what stands in them.

import { element, link, say, Table } from "./dom.js";
import { count, duration, moment, NOTHING, rate } from "./words.js";

const NUMBER = "ops-number";

function badge(cell, text, tone) {
  const found = cell.firstElementChild ?? cell.appendChild(element("span"));
  if (found.className !== `ops-badge ops-${tone}`) found.className = `ops-badge ops-${tone}`;
  say(found, text);
}

function bar(cell, fraction, text) {
  if (fraction === null) {
    say(cell, NOTHING);
    return;
  }
  let progress = cell.querySelector("progress");
  if (!progress) {
    progress = element("progress", { max: 1, "aria-label": "Progress" });
    cell.replaceChildren(progress, element("span", { class: "ops-bar-text" }));
  }
  if (progress.value !== fraction) progress.value = fraction;
  say(cell.lastElementChild, text);
}

const number = (label, text) => ({ label, class: NUMBER, draw: (cell, item) => say(cell, text(item)) });
const text = (label, words) => ({ label, draw: (cell, item) => say(cell, words(item)) });

export function queues(table, steer) {
  const columns = [
    {
      label: "Queue",
      draw: (cell, queue) => {
        if (!cell.firstElementChild) {
          cell.append(element("span", {}, queue.name), element("span", { class: "ops-badge ops-warn" }));
        }
        say(cell.lastElementChild, queue.paused ? "paused" : "");
      },
    },
    number("Waiting", (queue) => count({ count: queue.available, capped: queue.capped })),
    number("First waits", (queue) => duration(queue.oldest_seconds)),
    number("Running", (queue) => queue.running),
    ...["completed", "failed"].map((word) => ({
      label: word === "completed" ? "Done/s" : "Failed/s",
      class: `${NUMBER} ops-rate`,
      draw: (cell, queue) => {
        // Workers that do not count by queue leave nothing to show.
        table.toggleAttribute("data-no-rates", queue.rate === null);
        say(cell, rate(queue.rate?.[word]));
      },
    })),
  ];
  if (steer) columns.push({ label: "Action", class: "ops-action", draw: (cell, queue) => button(cell, queue, steer) });
  return new Table(table, { key: (queue) => queue.name, columns });
}

function button(cell, queue, steer) {
  let found = cell.firstElementChild;
  if (!found) {
    found = cell.appendChild(element("button", { type: "button", class: "ops-button" }));
    found.addEventListener("click", () => steer(queue.name, found.dataset.action));
  }
  found.dataset.action = queue.paused ? "resume" : "pause";
  found.setAttribute("aria-label", `${queue.paused ? "Resume" : "Pause"} queue ${queue.name}`);
  say(found, queue.paused ? "Resume" : "Pause");
}

export function workers(table) {
  const silent = (worker) => worker.heartbeat_seconds > 5;
  return new Table(table, {
    key: (worker) => worker.id,
    columns: [
      {
        label: "Worker",
        draw: (cell, worker) => {
          say(cell, worker.name);
          cell.title = worker.queues.length ? `Queues: ${worker.queues.join(", ")}` : "All queues";
        },
      },
      {
        label: "State",
        draw: (cell, worker) => {
          const tone = silent(worker) ? "bad" : worker.state === "live" ? "good" : "warn";
          badge(cell, silent(worker) ? "silent" : worker.state, tone);
        },
      },
      number("Heartbeat", (worker) => `${duration(worker.heartbeat_seconds)} ago`),
      // More jobs than threads: some were taken ahead.
      number("Jobs / threads", (worker) => `${worker.running} / ${worker.concurrency}`),
      // Handlers of lost jobs keep their threads.
      number("Lost, running", (worker) => (worker.lost_running ?? 0).toLocaleString("en")),
      number("Done/s", (worker) => rate(worker.rate?.completed)),
      number("Failed/s", (worker) => rate(worker.rate?.failed)),
      number("Lost claims", (worker) => (worker.stats.lost ?? 0).toLocaleString("en")),
    ],
  });
}

export function running(table, links) {
  return new Table(table, {
    key: (job) => `${job.id}/${job.attempt}`,
    columns: [
      { label: "Job", class: "ops-id", draw: (cell, job) => link(cell, links.job.replace("{id}", job.id), `#${job.id}`) },
      { label: "Kind", class: "ops-wide", draw: (cell, job) => say(cell, job.kind) },
      text("Queue", (job) => job.queue),
      number("Attempt", (job) => `${job.attempt} of ${job.max_attempts}`),
      number("For", (job) => duration(job.seconds)),
      {
        label: "Progress",
        class: "ops-progress",
        draw: (cell, job) => bar(cell, job.progress, `${Math.round((job.progress ?? 0) * 100)} %`),
      },
    ],
  });
}

export function dead(table, links) {
  const clipped = (label, classes, words) => ({
    label,
    class: `ops-clip ${classes}`,
    draw: (cell, letter) => {
      say(cell, words(letter));
      cell.title = words(letter);
    },
  });
  return new Table(table, {
    key: (letter) => letter.id,
    columns: [
      {
        label: "Job",
        class: "ops-id",
        draw: (cell, letter) => link(cell, links.dead.replace("{id}", letter.id), `#${letter.id}`),
      },
      clipped("Kind", "", (letter) => letter.kind),
      clipped("Error", "ops-error", (letter) => letter.error),
      number("Died", (letter) => moment(letter.died_at)),
    ],
  });
}

export function workflows(table, links) {
  const left = (flow) =>
    [
      [flow.active, "under way"],
      [flow.blocked, "blocked"],
      [flow.dead, "dead"],
    ]
      .filter(([many]) => many > 0)
      .map(([many, word]) => `${many} ${word}`)
      .join(", ");
  return new Table(table, {
    key: (flow) => flow.id,
    columns: [
      {
        label: "Workflow",
        class: "ops-wide",
        draw: (cell, flow) => link(cell, links.workflow.replace("{id}", flow.id), `${flow.name} (${flow.id})`),
      },
      {
        label: "Progress",
        class: "ops-progress",
        draw: (cell, flow) => {
          const done = flow.completed + flow.closed;
          bar(cell, flow.total ? done / flow.total : 1, `${done} of ${flow.total}`);
        },
      },
      text("Left", left),
    ],
  });
}
