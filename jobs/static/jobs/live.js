// Keeps the changing part of a page up to date: an event on its topic makes it fetch that part again.
// The stream says that something changed; what is shown comes from the server's template, unless a script of the page
// shows the event itself: it hears "jobs:event" on the part and prevents the default.
// What no event on that topic tells (why a job waits hangs on its queue, its kind, on others) says in `data-again` after
// how many seconds the part is fetched again.
"use strict";

(() => {
  const PAUSE = 300; // ms between two fetches, so that a burst of events costs a few of them

  // A part with the newest at its end is shown from there, and stays there when its reader was there.
  const atEnd = (element) => "follow" in element.dataset && element.scrollTop + element.clientHeight >= element.scrollHeight - 4;
  const toEnd = (element) => { if ("follow" in element.dataset) element.scrollTop = element.scrollHeight; };

  function start(note) {
    const part = document.getElementById("live-part");
    const text = note.querySelector("[data-live-text]");
    if (!part || !window.EventSource || !note.dataset.liveUrl) return;
    let waiting = false;
    let again = false;
    let meanwhile = []; // events shown while an answer was under way that may be older than they are

    const say = (state, words) => {
      note.dataset.state = state;
      text.textContent = words;
    };

    // What the reader has opened and scrolled to stays so.
    const swap = (html) => {
      const open = new Set([...part.querySelectorAll("details[open][data-keep]")].map((d) => d.dataset.keep));
      const places = new Map([...part.querySelectorAll("[data-scroll]")].map((e) => [e.dataset.scroll, [e.scrollTop, e.scrollLeft, atEnd(e)]]));
      part.innerHTML = html;
      part.querySelectorAll("details[data-keep]").forEach((d) => { d.open = open.has(d.dataset.keep); });
      part.querySelectorAll("[data-scroll]").forEach((e) => {
        const place = places.get(e.dataset.scroll);
        if (place) [e.scrollTop, e.scrollLeft] = place;
        if (!place || place[2]) toEnd(e);
      });
    };

    // A link that is replaced between the press and the release of a button is not followed: what is pressed stays.
    let pressed = false;
    let release = () => {};
    const unpressed = () => pressed ? new Promise((done) => { release = done; }) : null;
    part.addEventListener("pointerdown", () => { pressed = true; }, true);
    // Where a menu opens, or another window comes to the front, the release is never told: the page must not wait for it.
    for (const name of ["pointerup", "pointercancel", "contextmenu", "blur"]) {
      window.addEventListener(name, () => { pressed = false; setTimeout(release); }, true); // after the click
    }

    const show = (detail) => !part.dispatchEvent(new CustomEvent("jobs:event", { detail, bubbles: true, cancelable: true }));

    const hear = (event) => {
      const detail = JSON.parse(event.data);
      if (!show(detail)) refresh();
      else if (waiting) meanwhile.push(detail);
    };

    let next = 0;
    const lookAgain = () => {
      clearTimeout(next);
      const aging = part.querySelector("[data-again]");
      if (aging) next = setTimeout(() => { if (document.hidden) lookAgain(); else refresh(); }, 1000 * aging.dataset.again);
    };

    const refresh = async () => {
      if (waiting) { again = true; return; }
      waiting = true;
      meanwhile = [];
      try {
        const answer = await fetch(note.dataset.liveUrl, { credentials: "same-origin", redirect: "error" });
        if (answer.ok) {
          const html = await answer.text();
          await unpressed();
          swap(html);
          if (!meanwhile.every(show)) again = true;
        } else say("off", `not up to date: the server answered ${answer.status}; reload the page`);
      } catch {
        say("off", "not connected: what you see may be old");
      }
      setTimeout(() => {
        waiting = false;
        if (again) { again = false; refresh(); }
        else lookAgain();
      }, PAUSE);
    };

    const stream = new EventSource(note.dataset.liveStream);
    stream.onopen = () => { say("on", "live"); refresh(); };
    stream.onerror = () => {
      const closed = stream.readyState === EventSource.CLOSED;
      say("off", closed ? "not connected: reload the page to see changes" : "not connected: trying again …");
    };
    for (const name of note.dataset.liveEvents.split(" ")) stream.addEventListener(name, hear);
    stream.addEventListener("reset", refresh);
    part.querySelectorAll("[data-scroll]").forEach(toEnd);
    window.addEventListener("pagehide", () => stream.close());
    window.addEventListener("pageshow", (event) => { if (event.persisted) window.location.reload(); });
  }

  // In a narrow window the states of jobs do not all fit: the one that is shown must be seen.
  const showTab = () => {
    const tab = document.querySelector(".jb-tabs .jb-tab--active");
    if (!tab) return;
    const row = tab.parentElement;
    const left = tab.getBoundingClientRect().left - row.getBoundingClientRect().left;
    row.scrollLeft += left - (row.clientWidth - tab.clientWidth) / 2;
  };

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll("[data-live]").forEach(start);
    showTab();
  });
})();
