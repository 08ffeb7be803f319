// The operations page: draws the state that came with it, then follows the stream.
//
// Figures come once a second and replace each other; events of `ops` are added to the feed. Whenever the stream begins
// anew (first connection, `reset`) the state is loaded once more, because what happened before is not in the stream.

import { Chart } from "./chart.js";
import { say } from "./dom.js";
import { Feed, KINDS } from "./feed.js";
import { listen } from "./live.js";
import { steering } from "./steer.js";
import * as tables from "./tables.js";
import { clock, count, rate } from "./words.js";

const FIGURES = "ops:figures";
const PATIENCE = 4000; // until a first connection that has not come is called missing
const json = (id) => JSON.parse(document.getElementById(id).textContent);
const part = (name) => document.querySelector(`[data-part="${name}"]`);

const config = json("operations-config");
const root = part("operations");
const chart = new Chart(part("chart"));
const feed = new Feed(part("feed"), part("feed-empty"));
const steer = config.mayPause ? steering(part("steer"), config.steer) : null;
const shown = {
  queues: tables.queues(part("queues"), steer),
  workers: tables.workers(part("workers")),
  running: tables.running(part("running"), config.links),
  dead: tables.dead(part("dead"), config.links),
  workflows: tables.workflows(part("workflows"), config.links),
};
let updatedAt = null;
let begun = false;

function draw(figures) {
  for (const [name, table] of Object.entries(shown)) table.draw(figures[name]);
  for (const tile of root.querySelectorAll("[data-state]")) {
    const found = figures.states[tile.dataset.state];
    say(tile, count(found));
    tile.closest("[data-tile]").toggleAttribute("data-some", found.count > 0);
  }
  say(part("completed"), rate(figures.rate?.completed));
  say(part("failed"), rate(figures.rate?.failed));
  chart.add(Date.parse(figures.now) / 1000, figures.rate);
  updatedAt = Date.now();
  say(part("updated"), clock(updatedAt));
}

function begin({ figures, history, feed: entries }) {
  chart.fill(history);
  feed.fill(entries);
  draw(figures);
}

async function reload() {
  const answer = await ask();
  if (answer?.ok) begin(await answer.json());
}

async function ask() {
  try {
    return await fetch(config.state, { headers: { accept: "application/json" } });
  } catch {
    return null; // not reachable: the banner says so already
  }
}

function connected() {
  root.dataset.live = "yes";
  say(part("connection"), "Live");
  say(part("banner-text"), "");
  part("login").hidden = true;
}

async function disconnected(refused) {
  const when = updatedAt === null ? "" : ` — last update ${clock(updatedAt)}`;
  root.dataset.live = "no";
  say(part("connection"), "Not connected");
  say(part("banner-text"), `Not connected${when}, trying again`);
  const status = refused ? (await ask())?.status : 0;
  if (root.dataset.live === "yes") return;
  if (status === 401) {
    say(part("banner-text"), `You are logged out${when}.`);
    part("login").hidden = false;
  } else if (status === 403) {
    say(part("banner-text"), `You may not see this page any more${when}.`);
  }
}

function heard(kind, message) {
  if (kind === FIGURES) draw(message.data);
  else if (kind === "reset") reload();
  else if (kind !== "subscribed") feed.add(message);
}

function status({ live, refused }) {
  if (!live) {
    if (begun || refused) disconnected(refused);
    return;
  }
  connected();
  if (!begun) reload();
  begun = true;
}

part("login").href = config.login;
begin(json("operations-state"));
listen({ url: config.stream, kinds: [FIGURES, ...KINDS], pulse: FIGURES, user: config.user, onEvent: heard, onStatus: status });
setTimeout(() => begun || disconnected(false), PATIENCE);
