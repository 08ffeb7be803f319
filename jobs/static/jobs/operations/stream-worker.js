// Shares one stream among all tabs of a user: browsers allow six connections to a host over HTTP/1.1, and a stream
// holds one for ever. Tabs with the same address share a stream; it ends with the last of them.

import { Stream } from "./stream.js";

const shared = new Map(); // address → {stream, ports}

function join(port, { url, kinds, pulse }) {
  let entry = shared.get(url);
  if (!entry) {
    const ports = new Set();
    const tell = (message) => ports.forEach((each) => each.postMessage(message));
    const stream = new Stream({
      url,
      kinds,
      pulse,
      onEvent: (kind, data) => tell({ type: "event", kind, data }),
      onStatus: (status) => tell({ type: "status", status }),
    });
    entry = { stream, ports };
    shared.set(url, entry);
    stream.open();
  }
  entry.ports.add(port);
  port.postMessage({ type: "status", status: entry.stream.status });
}

function leave(port) {
  for (const [url, { stream, ports }] of shared) {
    if (ports.delete(port) && ports.size === 0) {
      stream.close();
      shared.delete(url);
    }
  }
}

self.onconnect = ({ ports: [port] }) => {
  port.onmessage = ({ data }) => (data.type === "join" ? join(port, data) : leave(port));
};
