import {SignalboxError} from './errors.js';

export const SUBPROTOCOL = 'signalbox.v1.json';

/** Bytes the socket may hold before this side stops feeding it. */
const HIGH_WATER = 1 << 20;
/** How long a probe waits for a sign of life; the box waits as long (PROTOCOL.md §6). */
const PROBE_MS = 2000;

/**
 * Why a link ended. `closing` is the box's own last word, when there was one.
 * @typedef {{code: number, closing?: import('./types.js').Frame, opened: boolean}} Down
 */

/**
 * @typedef {object} LinkHandlers
 * @property {() => void} open
 * @property {(frame: import('./types.js').Frame) => void} frame  anything but ping, pong and closing
 * @property {(down: Down) => void} down  once, however the link ended, unless close was called
 */

/**
 * One socket. It answers pings, notices a silent box, and ends exactly once.
 * A half-open socket can take minutes to report its close, so a link that is
 * given up is abandoned: nothing it says later is heard.
 */
export class Link {
  #socket;
  #handlers;
  /** @type {import('./types.js').Frame | undefined} */
  #closing;
  #opened = false;
  #over = false;
  #heard = performance.now();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #watch;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #probe;

  /**
   * @param {import('./types.js').SocketClass} Socket
   * @param {string} url
   * @param {LinkHandlers} handlers
   * @param {number} openMs  how long the socket and the welcome may take
   */
  constructor(Socket, url, handlers, openMs) {
    this.#handlers = handlers;
    const socket = (this.#socket = new Socket(url, SUBPROTOCOL)); // may throw
    this.#watch = setTimeout(() => this.#end(4002), openMs);
    socket.onopen = () => {
      this.#opened = true;
      handlers.open();
    };
    socket.onmessage = (event) => this.#receive(event.data);
    socket.onclose = (event) => this.#end(event.code);
    socket.onerror = () => {}; // a close always follows, and says more
  }

  /** Whether the socket takes more right now. */
  get ready() {
    return !this.#over && this.#opened && this.#socket.bufferedAmount < HIGH_WATER;
  }

  /** @param {string} text */
  sendText(text) {
    if (!this.#over && this.#socket.readyState === 1) this.#socket.send(text);
  }

  /** @param {object} frame */
  send(frame) {
    this.sendText(JSON.stringify(frame));
  }

  /**
   * Begins to watch for silence. A timer that fires late says that this page
   * slept, not that the box is dead, so then the box gets a chance to answer.
   * @param {number} pingMs @param {number} deadMs
   */
  watch(pingMs, deadMs) {
    clearTimeout(this.#watch);
    const step = Math.max(20, Math.min(pingMs, deadMs / 2));
    const due = performance.now() + step;
    this.#watch = setTimeout(() => {
      const now = performance.now();
      const silent = now - this.#heard;
      if (silent >= deadMs && now - due < step) return this.#end(4002);
      if (silent >= deadMs) this.probe();
      else if (silent > pingMs) this.send({type: 'ping', t: Date.now()});
      this.watch(pingMs, deadMs);
    }, step);
  }

  /** Asks the box for a sign of life and gives the link up when none comes. */
  probe(withinMs = PROBE_MS) {
    if (this.#over || !this.#opened) return;
    const asked = performance.now();
    this.send({type: 'ping', t: Date.now()});
    clearTimeout(this.#probe);
    this.#probe = setTimeout(() => {
      if (this.#heard < asked) this.#end(4002);
    }, withinMs);
  }

  /**
   * Ends the link without calling `down`.
   * @param {number} code 1000, or 3000 and above: nothing else may be sent by a page
   */
  close(code) {
    this.#over = true;
    clearTimeout(this.#watch);
    clearTimeout(this.#probe);
    const socket = this.#socket;
    socket.onopen = socket.onmessage = socket.onclose = null;
    try {
      socket.close(code);
    } catch {
      // Some implementations throw while still connecting; the socket goes either way.
    }
  }

  /** @param {unknown} data */
  #receive(data) {
    if (this.#over) return;
    this.#heard = performance.now();
    const frame = parse(data);
    if (!frame) return this.#end(4500);
    if (frame.type === 'ping') return this.send({type: 'pong', t: frame.t});
    if (frame.type === 'pong') return;
    if (frame.type === 'closing') {
      this.#closing = frame;
      return;
    }
    this.#handlers.frame(frame);
  }

  /** @param {number} code */
  #end(code) {
    if (this.#over) return;
    // The close code may be lost where the box's last frame was not.
    const down = {code: this.#closing?.code ?? code, closing: this.#closing, opened: this.#opened};
    this.close(code >= 3000 ? code : 1000);
    this.#handlers.down(down);
  }
}

/**
 * @param {unknown} data
 * @returns {import('./types.js').Frame | undefined} undefined for what is not a frame
 */
function parse(data) {
  if (typeof data !== 'string') return undefined;
  try {
    const frame = JSON.parse(data);
    return typeof frame?.type === 'string' ? frame : undefined;
  } catch {
    return undefined;
  }
}

/**
 * The signaling address of a box from whatever names it: the page's own origin,
 * `https://box:8443`, or a full `wss://…/v1/signal`.
 * @param {string} [url]
 */
export function signalURL(url) {
  const base = globalThis.location?.href;
  if (!url && !base) throw new SignalboxError('no_url', 'say which box: new Signalbox({url: "wss://signalbox.local:8443/v1/signal"})');
  const at = new URL(url || '/', base);
  at.protocol = at.protocol.replace('http', 'ws');
  at.hash = '';
  if (at.pathname === '/') at.pathname = '/v1/signal';
  return at.href;
}
