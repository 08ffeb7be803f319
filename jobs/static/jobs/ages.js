// Ages on the page of a job grow while it is looked at. The server says how old something was when it answered, and the
// time since is counted here: the clock of the reader's machine may be wrong.
import { duration } from "./operations/words.js";

const seen = new WeakMap();

const spoken = (age) => {
  if (Math.abs(age) < 1) return "now";
  return age > 0 ? `${duration(age)} ago` : `in ${duration(-age)}`;
};

const grow = () => {
  const part = document.querySelector("[data-ages]")?.parentElement;
  if (!part) return;
  for (const element of part.querySelectorAll("time[data-age]")) {
    if (!seen.has(element)) seen.set(element, performance.now()); // within a second of the answer
    else element.textContent = spoken(Number(element.dataset.age) + (performance.now() - seen.get(element)) / 1000);
  }
};

grow();
setInterval(grow, 1000);
