// The newest events for operators, as sentences. What is told elsewhere on the page, or twice, is left out.

import { element } from "./dom.js";
import { moment } from "./words.js";

const LENGTH = 20;
const SAME = 3000; // an action and its event carry the times of two moments of one transaction

const WORDS = { deadletterrun: "dead-letter run", deadlettergroup: "dead-letter group" }; // as in the record of actions

const SENTENCES = {
  "operator.action": (data) => {
    const target = `${WORDS[data.target_type] ?? data.target_type} ${data.target_id}`;
    const more = data.count > 1 ? ` and ${data.count - 1} more` : "";
    const why = data.reason ? `: ${data.reason}` : "";
    return ["act", `${data.actor}: ${data.action} ${target}${more}${why}`];
  },
  "worker.started": (data) => ["good", `Worker ${data.name} started`],
  "worker.stopped": (data) => ["calm", `Worker ${data.name} stopped`],
  "worker.lost": (data) => ["bad", `Worker ${data.name} was lost; its jobs run again`],
  "job.dead": (data) => ["bad", `Job #${data.job} ${data.kind} became a dead letter`],
  "workflow.state": (data) => {
    const tone = data.state === "completed" ? "good" : data.state === "running" ? "calm" : "bad";
    return [tone, `Workflow ${data.name} (${data.workflow}) is ${data.state}`];
  },
  "schedule.missed": (data) => ["warn", `Schedule ${data.name} passed over ${data.slots} slots`],
};

export const KINDS = Object.keys(SENTENCES);

export class Feed {
  constructor(list, empty) {
    this.list = list;
    this.empty = empty;
    this.entries = [];
  }

  fill(entries) {
    this.entries = [];
    this.list.replaceChildren();
    [...entries].reverse().forEach((entry) => this.add(entry));
    this.empty.hidden = this.entries.length > 0;
  }

  add({ kind, at, data }) {
    const [tone, sentence] = SENTENCES[kind](data);
    const time = Date.parse(at);
    if (this.entries.some((entry) => entry.sentence === sentence && Math.abs(entry.time - time) < SAME)) return;
    this.entries.unshift({ sentence, time });
    const stamp = element("time", { datetime: new Date(time).toISOString() }, moment(time));
    this.list.prepend(element("li", { class: `ops-entry ops-${tone}` }, stamp, element("span", {}, sentence)));
    this.entries.length = Math.min(this.entries.length, LENGTH);
    while (this.list.childElementCount > LENGTH) this.list.lastElementChild.remove();
    this.empty.hidden = true;
  }
}
