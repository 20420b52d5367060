import {SignalboxError} from './errors.js';

/**
 * A sequenced frame on its way to the box.
 * @typedef {object} Entry
 * @property {number} seq
 * @property {import('./types.js').Frame} frame
 * @property {string} text   the frame as sent, without `ack`
 * @property {boolean} sent  whether any socket ever carried it
 */

const encoder = new TextEncoder();

/** The most that may wait here. Beyond it push refuses, so an unreachable box costs bounded memory. */
const MAX_FRAMES = 2048;
const MAX_BYTES = 4 << 20;

/**
 * Keeps every sequenced frame until the box has acknowledged it, and hands out
 * no more than the box's window beyond the last acknowledgement.
 */
export class Outbox {
  /** @type {Entry[]} oldest first: [0, #next) are on the wire, the rest wait */
  #entries = [];
  #next = 0;
  #seq = 0;
  #acked = 0;
  #bytes = 0;

  /** Frames that may be unacknowledged at once, from `limits.unacked_frames`. */
  window = 256;
  /** The largest frame the box takes, from `limits.frame_bytes`. */
  frameBytes = 65536;

  get acked() {
    return this.#acked;
  }

  /** Frames not yet acknowledged, on the wire or waiting. */
  get pending() {
    return this.#entries.length;
  }

  /**
   * Takes a frame and gives it the next sequence number.
   * @param {import('./types.js').Frame} frame
   * @returns {number} its seq
   */
  push(frame) {
    const seq = this.#seq + 1;
    const text = JSON.stringify({...frame, seq});
    const bytes = encoder.encode(text).length;
    // 32 bytes are kept for the `ack` that is added on the wire.
    if (bytes > this.frameBytes - 32) {
      throw new SignalboxError('too_big', `a ${frame.type} frame of ${bytes} bytes is above the box's limit of ${this.frameBytes}`);
    }
    if (this.#entries.length >= MAX_FRAMES || this.#bytes + bytes > MAX_BYTES) {
      throw new SignalboxError('queue_full', `${this.#entries.length} frames wait for the box; send more once they are acknowledged`, {temporary: true});
    }
    this.#seq = seq;
    this.#bytes += text.length;
    this.#entries.push({seq, frame, text, sent: false});
    return seq;
  }

  /** The next frame to put on the wire, or undefined when none waits or the window is full. */
  next() {
    const entry = this.#entries[this.#next];
    if (!entry || entry.seq > this.#acked + this.window) return undefined;
    this.#next++;
    entry.sent = true;
    return entry;
  }

  /**
   * Forgets everything up to `ack`. An acknowledgement of what was never sent is ignored.
   * @param {number} ack
   */
  ack(ack) {
    const done = Math.min(ack, this.#acked + this.#next) - this.#acked;
    if (!(done > 0)) return;
    for (const entry of this.#entries.splice(0, done)) this.#bytes -= entry.text.length;
    this.#acked += done;
    this.#next -= done;
  }

  /**
   * A new socket carries the same session: what the box has not accepted goes
   * out again, in order and with its old seq. False when the box asks for
   * frames that are gone, which no resume can mend.
   * @param {number} ack
   */
  rewind(ack) {
    if (ack < this.#acked || ack > this.#seq) return false;
    this.#next = this.#entries.findIndex((entry) => !entry.sent);
    if (this.#next < 0) this.#next = this.#entries.length;
    this.ack(ack);
    this.#next = 0;
    return true;
  }

  /** A new session begins at seq 1. Returns what the old one left behind. */
  restart() {
    const left = this.#entries;
    this.#entries = [];
    this.#next = this.#seq = this.#acked = this.#bytes = 0;
    return left;
  }

  /** What a later page needs to continue: see storage.js. */
  save() {
    return {acked: this.#acked, frames: this.#entries.map(({frame, sent}) => ({frame, sent}))};
  }

  /** @param {ReturnType<Outbox['save']>} saved */
  load(saved) {
    this.restart();
    this.#seq = this.#acked = saved.acked;
    for (const {frame, sent} of saved.frames) {
      this.push(frame);
      this.#entries[this.#entries.length - 1].sent = sent;
    }
  }
}

/**
 * Adds the cumulative acknowledgement to a frame that is already text.
 * @param {string} text @param {number} ack
 */
export function withAck(text, ack) {
  return ack > 0 ? `{"ack":${ack},${text.slice(1)}` : text;
}
