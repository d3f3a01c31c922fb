// Which tabs may hold a stream of states. A browser opens six connections to one server, and each stream takes one for good: with six
// such tabs, no message, no music and no seventh tab would get through. So the tabs of this server tell one another when they were
// looked at last, and the newest two of those that can be seen have a stream; the others ask for their state now and then.

const MAX_STREAMS = 2;
const SIGN_INTERVAL = 3000;  // milliseconds
const SILENT = 9000;  // without a sign after which a tab counts no more: it was closed, or the browser has put it to sleep

/** Events: 'change' when `mayStream` has changed. */
class StreamSlots extends EventTarget {
  mayStream = false;
  #id = crypto.getRandomValues(new Uint32Array(2)).join('-');  // not randomUUID, which needs https
  #seen = Date.now();  // when this tab was looked at last
  #others = new Map();  // id -> {seen, visible, heard}
  #channel = null;

  constructor() {
    super();
    document.addEventListener('visibilitychange', () => this.#look());
    addEventListener('focus', () => this.#look());
    addEventListener('pagehide', () => this.#leave());
    addEventListener('pageshow', event => { if (event.persisted) this.#enter(); });
    setInterval(() => { if (this.#channel) this.#tell('sign'); }, SIGN_INTERVAL);
    this.#enter();
  }

  #enter() {
    this.#channel = new BroadcastChannel('mumu-tabs');
    this.#channel.onmessage = ({data}) => this.#hear(data);
    this.#seen = Date.now();
    this.#tell('hello');
  }

  #leave() {
    this.#tell('bye');
    this.#channel?.close();  // an open channel keeps a browser from holding the page for "Back"
    this.#channel = null;
    this.#others.clear();
  }

  #look() {
    if (!document.hidden) this.#seen = Date.now();
    if (this.#channel) this.#tell('sign');
  }

  #hear({id, kind, seen, visible}) {
    if (kind === 'bye') this.#others.delete(id);
    else this.#others.set(id, {seen, visible, heard: Date.now()});
    if (kind === 'hello') this.#tell('sign');
    else this.#decide();
  }

  #tell(kind) {
    this.#channel?.postMessage({id: this.#id, kind, seen: this.#seen, visible: !document.hidden});
    this.#decide();
  }

  #decide() {
    const now = Date.now();
    for (const [id, {heard}] of this.#others) if (now - heard > SILENT) this.#others.delete(id);
    const before = [...this.#others].filter(([id, {seen, visible}]) => visible && (seen > this.#seen || seen === this.#seen && id > this.#id));
    const mayStream = !document.hidden && before.length < MAX_STREAMS;
    if (mayStream === this.mayStream) return;
    this.mayStream = mayStream;
    this.dispatchEvent(new Event('change'));
  }
}

/** The slots of this tab. */
export const streamSlots = new StreamSlots();
