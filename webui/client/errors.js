/**
 * Every failure the library reports. `code` is for programs and is one of
 * PROTOCOL.md §7 or of this library: `closed`, `queue_full`, `too_big`,
 * `session_reset`, `unconfirmed`, `no_webrtc`. `message` is for people.
 */
export class SignalboxError extends Error {
  /**
   * @param {string} code
   * @param {string} message
   * @param {{temporary?: boolean, retryAfterMs?: number, frame?: import('./types.js').Frame, cause?: unknown}} [more]
   */
  constructor(code, message, more = {}) {
    super(message, {cause: more.cause});
    this.name = 'SignalboxError';
    this.code = code;
    /** The same request may succeed later. */
    this.temporary = more.temporary ?? false;
    this.retryAfterMs = more.retryAfterMs;
    /** The error frame, where the box sent one: it may carry more, such as a current version. */
    this.frame = more.frame;
  }

  /** @param {import('./types.js').Frame} frame an `error` frame */
  static from(frame) {
    return new SignalboxError(frame.code ?? 'internal', frame.message ?? `the box refused the frame: ${frame.code}`, {
      temporary: frame.temporary === true,
      retryAfterMs: frame.retry_after_ms,
      frame,
    });
  }
}
