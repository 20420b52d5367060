/** Senders remembered; the one unheard for longest is forgotten first. */
const SENDERS = 512;

/**
 * What has been received: tells new frames from repeats, in two ways.
 * The box's `seq` catches what a resume replays. The sender's `mid` catches what
 * comes again, under a new seq, after the box itself crashed.
 */
export class Inbox {
  #received = 0;
  /** PROTOCOL.md §3: how many `mid` of each sender are remembered, from `limits.unacked_frames`. */
  window = 512;
  /** Sequenced frames taken since the last acknowledgement went out. */
  unacked = 0;
  /** @type {Map<string, Set<number>>} */
  #mids = new Map();

  /** The highest seq processed. */
  get received() {
    return this.#received;
  }

  /**
   * @param {number} seq
   * @returns {'new' | 'repeat' | 'gap'}
   */
  accept(seq) {
    if (seq <= this.#received) return 'repeat';
    if (seq > this.#received + 1) return 'gap';
    this.#received = seq;
    this.unacked++;
    return 'new';
  }

  /**
   * Whether this member's frame was seen before; remembers it when not.
   * @param {string} from @param {number} mid
   */
  seen(from, mid) {
    const mids = this.#mids.get(from) ?? new Set();
    this.#mids.delete(from);
    this.#mids.set(from, mids); // now the most recently heard
    if (mids.has(mid)) return true;
    mids.add(mid);
    if (mids.size > this.window) mids.delete(first(mids));
    if (this.#mids.size > SENDERS) this.#mids.delete(first(this.#mids));
    return false;
  }

  /** A new session: the box counts from 1 again. What senders sent stays known. */
  restart() {
    this.#received = 0;
    this.unacked = 0;
  }

  save() {
    return {received: this.#received, mids: [...this.#mids].map(([from, mids]) => [from, [...mids]])};
  }

  /** @param {{received: number, mids: any[]}} saved */
  load(saved) {
    this.#received = saved.received;
    this.unacked = 0;
    this.#mids = new Map(saved.mids.map(([from, mids]) => [from, new Set(mids)]));
  }
}

/**
 * @template T
 * @param {Set<T> | Map<T, any>} of
 * @returns {T}
 */
function first(of) {
  return /** @type {T} */ (of.keys().next().value);
}
