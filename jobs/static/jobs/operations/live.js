// Listening to a stream from a page: through the SharedWorker where there is one, else with a connection of its own.
//
// listen({url, kinds, pulse, user, onEvent(kind, data), onStatus({live, refused})})

import { Stream } from "./stream.js";

export function listen(wanted) {
  if (typeof SharedWorker === "undefined") {
    direct(wanted);
  } else {
    shared(wanted);
  }
}

function direct({ url, kinds, pulse, onEvent, onStatus }) {
  const stream = new Stream({ url, kinds, pulse, onEvent, onStatus });
  window.addEventListener("pagehide", () => stream.close());
  window.addEventListener("pageshow", (event) => event.persisted && stream.open());
  stream.open();
}

function shared(wanted) {
  const { url, kinds, pulse, user, onEvent, onStatus } = wanted;
  // A worker per user: whoever logs in after somebody else in the same browser must not hear that one's stream.
  const worker = new SharedWorker(new URL("./stream-worker.js", import.meta.url), {
    type: "module",
    name: `opsched-${user}`,
  });
  const { port } = worker;
  const join = () => port.postMessage({ type: "join", url, kinds, pulse });
  // The script could not be loaded, or the browser has no modules in workers.
  worker.onerror = () => {
    port.onmessage = null;
    direct(wanted);
  };
  port.onmessage = ({ data }) => (data.type === "event" ? onEvent(data.kind, data.data) : onStatus(data.status));
  window.addEventListener("pagehide", () => port.postMessage({ type: "leave" }));
  window.addEventListener("pageshow", (event) => event.persisted && join());
  join();
}
