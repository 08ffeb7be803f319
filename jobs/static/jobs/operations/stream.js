// One connection to the event stream that never gives up. Runs in a page or in a SharedWorker.
//
// EventSource reconnects by itself after a broken connection, but closes for good when the server answers with an
// error; then we come back with a growing pause and the last event id in the address. A stream with a `pulse` (the name
// of an event that comes every second) lives while that beats: a half-open connection reports no error.

const FIRST_PAUSE = 1000;
const LONGEST_PAUSE = 30000;
const SILENT = 5000; // without a pulse: not live any more
const BROKEN = 15000; // without a pulse: connect anew

export class Stream {
  #url;
  #kinds;
  #pulse;
  #onEvent;
  #onStatus;
  #source = null;
  #lastId = "";
  #lastAt = 0;
  #openedAt = 0;
  #live = false;
  #refused = false;
  #pause = FIRST_PAUSE;
  #retry = 0;
  #watch = 0;

  constructor({ url, kinds, pulse, onEvent, onStatus }) {
    this.#url = url;
    this.#kinds = ["subscribed", "reset", ...kinds];
    this.#pulse = pulse;
    this.#onEvent = onEvent;
    this.#onStatus = onStatus;
  }

  // refused: the server answered, but not with a stream
  get status() {
    return { live: this.#live, refused: this.#refused };
  }

  open() {
    this.#watch = setInterval(() => this.#look(), 1000);
    this.#connect();
  }

  close() {
    clearInterval(this.#watch);
    clearTimeout(this.#retry);
    this.#source?.close();
  }

  #connect() {
    clearTimeout(this.#retry);
    this.#retry = 0;
    this.#source?.close();
    this.#openedAt = Date.now();
    const resume = this.#lastId ? `&last_event_id=${encodeURIComponent(this.#lastId)}` : "";
    const source = new EventSource(this.#url + resume);
    source.onerror = () => this.#failed(source);
    for (const kind of this.#kinds) {
      source.addEventListener(kind, (event) => this.#heard(kind, event));
    }
    this.#source = source;
  }

  #heard(kind, event) {
    this.#lastId = event.lastEventId || this.#lastId;
    if (!this.#pulse || kind === this.#pulse) {
      this.#lastAt = Date.now();
      this.#pause = FIRST_PAUSE;
      this.#tell(true, false);
    }
    this.#onEvent(kind, JSON.parse(event.data));
  }

  #failed(source) {
    if (source !== this.#source) return;
    const refused = source.readyState === EventSource.CLOSED;
    this.#tell(false, refused);
    if (refused) this.#again();
  }

  #again() {
    if (this.#retry) return;
    const pause = this.#pause * (0.75 + Math.random() / 2); // many pages must not come back at the same moment
    this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE);
    this.#retry = setTimeout(() => this.#connect(), pause);
  }

  #look() {
    if (!this.#pulse) return;
    const silence = Date.now() - Math.max(this.#lastAt, this.#openedAt);
    if (this.#live && silence > SILENT) this.#tell(false, false);
    if (silence > BROKEN && !this.#retry) this.#again();
  }

  #tell(live, refused) {
    if (live === this.#live && refused === this.#refused) return;
    this.#live = live;
    this.#refused = refused;
    this.#onStatus(this.status);
  }
}
