import {Inbox} from './inbox.js';
import {Outbox, withAck} from './outbox.js';

/** @typedef {import('./types.js').Frame} Frame */

/** PROTOCOL.md §2: acknowledge at the latest 200 ms, or 32 frames, after receiving. */
const ACK_MS = 150;
const ACK_FRAMES = 32;
/** How soon a full socket is looked at again: browsers do not tell when it has drained. */
const FULL_MS = 50;

/**
 * The sequenced traffic of a session in both directions. It has a link to work
 * on or none, and carries on over the next one where it was.
 */
export class Lane {
  outbox = new Outbox();
  inbox = new Inbox();
  /** @type {import('./link.js').Link | undefined} */
  #link;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #ackTimer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #pumpTimer;

  /** @param {import('./link.js').Link} link a link that was welcomed */
  attach(link) {
    this.#link = link;
  }

  detach() {
    this.#link = undefined;
    clearTimeout(this.#pumpTimer);
    this.#acknowledged();
  }

  /**
   * Sends a frame as soon as window and socket allow.
   * @param {Frame} frame
   * @returns {number} its seq
   */
  push(frame) {
    const seq = this.outbox.push(frame);
    this.pump();
    return seq;
  }

  /** Puts what waits on the wire. */
  pump() {
    const link = this.#link;
    if (!link) return;
    while (link.ready) {
      const entry = this.outbox.next();
      if (!entry) return;
      link.sendText(withAck(entry.text, this.inbox.received));
      this.#acknowledged();
    }
    clearTimeout(this.#pumpTimer);
    this.#pumpTimer = setTimeout(() => this.pump(), FULL_MS);
  }

  /**
   * Takes note of a frame's envelope and says what to do with the rest of it.
   * @param {Frame} frame
   * @returns {'new' | 'repeat' | 'gap'}
   */
  receive(frame) {
    if (frame.ack) {
      this.outbox.ack(frame.ack);
      this.pump();
    }
    const verdict = frame.seq ? this.inbox.accept(frame.seq) : 'new';
    if (verdict === 'new' && frame.mid && frame.from && this.inbox.seen(frame.from, frame.mid)) return 'repeat';
    return verdict;
  }

  /** To be called once a sequenced frame has been processed. */
  acknowledge() {
    if (this.inbox.unacked >= ACK_FRAMES) return this.#sendAck();
    this.#ackTimer ??= setTimeout(() => this.#sendAck(), ACK_MS);
  }

  #sendAck() {
    this.#acknowledged();
    this.#link?.send({type: 'ack', ack: this.inbox.received});
  }

  #acknowledged() {
    this.inbox.unacked = 0;
    clearTimeout(this.#ackTimer);
    this.#ackTimer = undefined;
  }
}
