// Pausing and resuming a queue: asks why, says what the server refused. The page shows the change when the stream does.

import { say } from "./dom.js";

const WHAT = {
  pause: ["Pause", "No worker takes another job from it until it is resumed. What runs goes on."],
  resume: ["Resume", "Workers take jobs from it again."],
};

export function steering(dialog, address) {
  const form = dialog.querySelector("form");
  const part = (name) => dialog.querySelector(`[data-${name}]`);

  const close = () => dialog.close();
  part("cancel").addEventListener("click", close);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    part("confirm").disabled = true;
    const refusal = await send(address, new FormData(form));
    part("confirm").disabled = false;
    say(part("refusal"), refusal);
    if (!refusal) close();
  });

  return (queue, action) => {
    const [verb, effect] = WHAT[action];
    form.reset();
    form.elements.queue.value = queue;
    form.elements.action.value = action;
    say(part("title"), `${verb} the queue “${queue}”?`);
    say(part("effect"), effect);
    say(part("confirm"), verb);
    say(part("refusal"), "");
    dialog.showModal();
  };
}

// The refusal as a sentence, or nothing.
async function send(address, form) {
  try {
    const answer = await fetch(address, { method: "POST", body: form });
    if (answer.ok) return "";
    const told = (answer.headers.get("content-type") ?? "").includes("json");
    return told ? (await answer.json()).detail : `The server refused it (${answer.status}). Reload the page and try again.`;
  } catch {
    return "The server cannot be reached. Nothing was changed, as far as this page knows.";
  }
}
