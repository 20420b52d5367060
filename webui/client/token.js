/** A token this close to its end is replaced before a new connection uses it. */
const MARGIN_MS = 10_000;

/**
 * Where tokens come from: a string that somebody replaces, or a function that is
 * asked only when the token at hand is missing, refused or about to run out.
 */
export class TokenSource {
  /** @type {string | undefined} */
  #token;
  /** @type {(() => string | Promise<string>) | undefined} */
  #ask;
  /** @type {number | undefined} Unix milliseconds, as the box said */
  #expires;
  #stale = false;
  /** A fresh token is being tried. If it is refused as expired too, the clocks disagree. */
  #trying = false;

  /** @param {string | (() => string | Promise<string>) | undefined} source */
  constructor(source) {
    if (typeof source === 'function') this.#ask = source;
    else this.#token = source;
  }

  /** @param {string} token */
  set(token) {
    this.#token = token;
    this.#expires = undefined;
    this.#stale = false;
  }

  /**
   * Has the next use ask for another token. False when there is none to be had:
   * the application has to bring one, or the fresh one was refused as well.
   */
  renew() {
    if (!this.#ask || this.#trying) return false;
    this.#stale = this.#trying = true;
    return true;
  }

  /**
   * The box took the token at hand.
   * @param {number} [expires]
   */
  accepted(expires) {
    this.#expires = expires;
    this.#trying = false;
  }

  /** The token to use now; undefined when there is none, which an open box accepts. */
  async current() {
    const ending = this.#expires !== undefined && this.#expires - Date.now() < MARGIN_MS;
    if (!this.#ask || (this.#token !== undefined && !this.#stale && !ending)) return this.#token;
    try {
      this.set(await this.#ask());
    } catch (error) {
      // A token that merely ends soon is still better than none.
      if (this.#token === undefined || this.#stale) throw error;
    }
    return this.#token;
  }
}
