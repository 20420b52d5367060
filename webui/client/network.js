/**
 * Tells when the network may have changed or come back. A page hears of it from
 * the browser; elsewhere, as in Node, there is nothing to hear and nothing happens.
 *
 * `offline` is deliberately not listened to: browsers report it on a LAN
 * without internet, where the box is reachable all the same.
 * @param {{changed: () => void, woke: () => void}} handlers
 * @returns {() => void} stops watching
 */
export function watchNetwork(handlers) {
  const done = new AbortController();
  const {signal} = done;
  const page = /** @type {any} */ (globalThis).document;
  const connection = /** @type {any} */ (globalThis.navigator)?.connection;
  globalThis.addEventListener?.('online', handlers.changed, {signal});
  connection?.addEventListener?.('change', handlers.changed, {signal});
  page?.addEventListener('visibilitychange', () => page.visibilityState === 'visible' && handlers.woke(), {signal});
  globalThis.addEventListener?.('pageshow', (event) => /** @type {any} */ (event).persisted && handlers.woke(), {signal});
  return () => done.abort();
}
