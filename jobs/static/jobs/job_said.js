// The page of a job while it runs: progress and log lines are shown from their events, without asking the server again.
// Whatever an event cannot show (no bar yet, a line that was cut, more lines than it has) is left to live.js.
"use strict";

(() => {
  const CUT = 500; // an event has so many characters of a line; the page has all of them

  const words = (payload) => `${Math.round(payload.fraction * 100)} %${payload.note ? `: ${payload.note}` : ""}`;

  function progress(part, payload) {
    const bar = part.querySelector("[data-progress]");
    const note = part.querySelector("[data-progress-note]");
    if (!bar || !note || Number(bar.dataset.progress) !== payload.attempt) return false;
    const percent = Math.round(payload.fraction * 100);
    bar.setAttribute("aria-valuenow", String(percent));
    bar.firstElementChild.style.width = `${percent}%`;
    note.textContent = words(payload);
    return true;
  }

  function element(name, classes, text) {
    const made = document.createElement(name);
    made.className = classes;
    made.textContent = text;
    return made;
  }

  function entry(line, zone) {
    const level = /^[\w-]+$/.test(line.level) ? ` jb-log__line--${line.level}` : "";
    const row = element("div", `jb-log__line${level}`, "");
    const at = new Date(line.at * 1000);
    const time = element("time", "", at.toLocaleTimeString("en-GB", { timeZone: zone }));
    time.dateTime = at.toISOString();
    row.dataset.line = String(line.id);
    row.append(time, element("span", "jb-log__level", line.level), element("span", "jb-log__text", line.line));
    return row;
  }

  function lost(part, totals) {
    const note = part.querySelector("[data-log-loss]");
    for (const [name, number] of [["over", totals.over_limit], ["unsent", totals.unsent]]) {
      const told = note.querySelector(`[data-log-${name}]`);
      told.hidden = !number;
      told.querySelector("strong").textContent = String(number);
    }
    note.hidden = !totals.over_limit && !totals.unsent;
  }

  function lines(part, payload) {
    const box = part.querySelector("[data-log]");
    if (!box || payload.skipped || payload.lines.some((line) => line.line.length >= CUT)) return false;
    const shown = new Set([...box.children].map((row) => row.dataset.line));
    const follows = box.scrollTop + box.clientHeight >= box.scrollHeight - 4;
    const fresh = payload.lines.filter((line) => !shown.has(String(line.id)));
    box.append(...fresh.map((line) => entry(line, box.dataset.zone)));
    while (box.childElementCount > Number(box.dataset.log)) {
      box.firstElementChild.remove();
      part.querySelector("[data-log-full]").hidden = !("more" in box.dataset);
    }
    if (follows) box.scrollTop = box.scrollHeight;
    if (payload.lost) lost(part, payload.lost);
    return true;
  }

  const SHOWN = { "job.progress": progress, "job.log": lines };

  document.addEventListener("jobs:event", (event) => {
    const show = SHOWN[event.detail.kind];
    if (show && show(event.target, event.detail.data)) event.preventDefault();
  });
})();
