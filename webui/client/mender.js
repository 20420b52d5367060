/** How long a connection may be interrupted before another way is looked for. */
const DISCONNECTED_MS = 4000;
/** The polite side leaves the first attempt to the other one. */
const POLITE_EXTRA_MS = 5000;
const CAP_MS = 30_000;
/** Attempts without success, after which only the box or the application starts another. */
const MAX_ATTEMPTS = 6;

/**
 * Restarts ICE when a connection fails or stays interrupted. One side goes
 * first, because some stacks cannot roll back; the other follows only when
 * nothing happens.
 */
export class Mender {
  #pc;
  #polite;
  #tell;
  #attempts = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #done = new AbortController();

  /**
   * @param {RTCPeerConnection} pc
   * @param {() => boolean} polite
   * @param {(text: string) => void} tell
   */
  constructor(pc, polite, tell) {
    this.#pc = pc;
    this.#polite = polite;
    this.#tell = tell;
    pc.addEventListener('connectionstatechange', () => this.#look(), {signal: this.#done.signal});
  }

  #look() {
    const state = this.#pc.connectionState;
    clearTimeout(this.#timer);
    if (state === 'connected') this.#attempts = 0;
    if (state === 'disconnected') this.#later(DISCONNECTED_MS, 'the connection was interrupted');
    if (state === 'failed') this.#later(this.#attempts === 0 ? 0 : Math.min(CAP_MS, 1000 * 2 ** this.#attempts), 'the connection failed');
  }

  /** @param {number} waitMs @param {string} why */
  #later(waitMs, why) {
    if (this.#attempts >= MAX_ATTEMPTS) return;
    this.#timer = setTimeout(() => {
      this.#attempts++;
      this.restart(why);
      // Without an answer the state stays as it is and no event comes: look again.
      this.#timer = setTimeout(() => this.#look(), CAP_MS / 2);
    }, waitMs + (this.#polite() ? POLITE_EXTRA_MS : 0));
  }

  /** @param {string} why */
  restart(why) {
    if (this.#done.signal.aborted || this.#pc.signalingState === 'closed') return;
    this.#tell(`looking for another way (ICE restart): ${why}`);
    this.#pc.restartIce();
  }

  stop() {
    this.#done.abort();
    clearTimeout(this.#timer);
  }
}
