/** PROTOCOL.md §7: exponential, with full jitter, from a quarter of a second up to half a minute. */
export const BASE_MS = 250;
export const CAP_MS = 30_000;

/** A network that comes and goes is tried about every second, not every half minute. */
const EASED = 2;

/**
 * How long to wait before the next attempt. Full jitter: anything between
 * nothing and the bound, so that a hall full of tablets that lost one access
 * point does not come back in one instant.
 */
export class Backoff {
  #attempt = 0;
  #random;

  /** @param {() => number} [random] in [0, 1) */
  constructor(random = Math.random) {
    this.#random = random;
  }

  /** Attempts since the last reset. */
  get attempt() {
    return this.#attempt;
  }

  /** The upper bound of the next wait. */
  get bound() {
    return Math.min(CAP_MS, BASE_MS * 2 ** Math.min(this.#attempt, 20));
  }

  /**
   * The wait before the next attempt, in milliseconds. A wait the box asked for
   * is taken as it is: the box spreads its clients itself.
   * @param {number} [askedMs]
   */
  next(askedMs) {
    const wait = askedMs ?? this.#random() * this.bound;
    this.#attempt++;
    return wait;
  }

  /** Goes back to at most that many attempts: the last one was a success, if a short one. */
  ease(attempts = EASED) {
    this.#attempt = Math.min(this.#attempt, attempts);
  }

  reset() {
    this.#attempt = 0;
  }
}
