import {deferred} from './emitter.js';
import {SignalboxError} from './errors.js';

/** @typedef {import('./types.js').Frame} Frame */

/**
 * @typedef {object} Request
 * @property {Frame} frame
 * @property {ReturnType<typeof deferred<Frame>>} answer
 * @property {(frame: Frame) => void} [later]  hears what follows the first answer
 */

/** Frames without a request id whose refusal somebody wants to hear of, and stored sends that still change. */
const REMEMBERED = 512;

/** Matches what the box answers to what was asked. */
export class Requests {
  /** The last id given out; a page that resumes a session continues from it. */
  last = 0;
  /** @type {Map<number, Request>} */
  #pending = new Map();
  /** @type {Map<number, (frame: Frame) => void>} */
  #later = new Map();
  /** @type {Map<number, (error: SignalboxError) => void>} */
  #refused = new Map();

  /**
   * Gives the frame an id and a promise of its answer.
   * @param {Frame} frame changed: gets its id
   * @param {(frame: Frame) => void} [later]
   */
  add(frame, later) {
    const id = (frame.id = ++this.last);
    /** @type {Request} */
    const request = {frame, answer: deferred(), later};
    this.#pending.set(id, request);
    return request;
  }

  /** @param {number | undefined} id */
  remove(id) {
    this.#pending.delete(id ?? 0);
  }

  /**
   * Calls `refused` when the box answers the frame with that seq by an error.
   * @param {number} seq @param {(error: SignalboxError) => void} refused
   */
  onRefused(seq, refused) {
    remember(this.#refused, seq, refused);
  }

  /**
   * Hands an answer to whoever asked. False when nobody did.
   * @param {Frame} frame
   */
  settle(frame) {
    const request = this.#pending.get(frame.id ?? 0);
    if (request) {
      this.#pending.delete(request.frame.id ?? 0);
      if (frame.type === 'error') request.answer.reject(SignalboxError.from(frame));
      else request.answer.resolve(frame);
      if (frame.status === 'stored' && request.later) remember(this.#later, frame.id ?? 0, request.later);
      return true;
    }
    const later = this.#later.get(frame.id ?? 0);
    if (later) {
      this.#later.delete(frame.id ?? 0);
      later(frame);
      return true;
    }
    const refused = frame.type === 'error' && this.#refused.get(frame.re ?? 0);
    if (!refused) return false;
    this.#refused.delete(frame.re ?? 0);
    refused(SignalboxError.from(frame));
    return true;
  }

  /**
   * The session is gone: whatever was asked of it fails, but for what is asked again.
   * @param {SignalboxError} error
   * @param {Set<number | undefined>} [kept] ids that a new session carries on
   */
  fail(error, kept = new Set()) {
    this.#later.clear();
    this.#refused.clear();
    for (const [id, request] of this.#pending) {
      if (kept.has(id)) continue;
      this.#pending.delete(id);
      request.answer.reject(error);
    }
  }
}

/**
 * Adds to a map that forgets its oldest entry beyond the bound.
 * @template T
 * @param {Map<number, T>} map @param {number} key @param {T} value
 */
function remember(map, key, value) {
  map.set(key, value);
  if (map.size > REMEMBERED) map.delete(/** @type {number} */ (map.keys().next().value));
}
