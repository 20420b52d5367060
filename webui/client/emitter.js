/**
 * An EventTarget whose events carry a `detail`, with a shorter way to listen.
 * @template {Record<string, any>} Events
 */
export class Emitter extends EventTarget {
  /**
   * Calls `listener` with the detail of each event of that type.
   * @template {keyof Events & string} Type
   * @param {Type} type
   * @param {(detail: Events[Type]) => void} listener
   * @param {AddEventListenerOptions} [options]
   * @returns {() => void} stops listening
   */
  on(type, listener, options) {
    const heard = (/** @type {Event} */ event) => listener(/** @type {CustomEvent} */ (event).detail);
    this.addEventListener(type, heard, options);
    return () => this.removeEventListener(type, heard);
  }

  /**
   * @template {keyof Events & string} Type
   * @param {Type} type
   * @param {Events[Type]} detail
   */
  emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, {detail}));
  }
}

/**
 * A promise with its two ends in hand.
 * @template T
 * @returns {{promise: Promise<T>, resolve: (value: T) => void, reject: (error: unknown) => void}}
 */
export function deferred() {
  /** @type {any} */
  const parts = {};
  parts.promise = new Promise((resolve, reject) => Object.assign(parts, {resolve, reject}));
  // Whoever awaits the promise sees the rejection; nobody awaiting it is no fault.
  parts.promise.catch(() => {});
  return parts;
}
