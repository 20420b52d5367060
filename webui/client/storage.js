/** @typedef {import('./room.js').Room} Room */

const KEY = 'signalbox.session';

/**
 * Lets a session survive a reload: it is written once, when the page goes away,
 * and taken out when the next page begins. So a duplicated tab, which gets a
 * copy of sessionStorage, cannot take the session over from the first.
 */
export class PageStorage {
  #storage;
  #session;
  #rooms;
  #done = new AbortController();

  /**
   * @param {Storage | undefined} storage
   * @param {import('./session.js').Session} session
   * @param {() => Room[]} rooms
   */
  constructor(storage, session, rooms) {
    this.#storage = storage;
    this.#session = session;
    this.#rooms = rooms;
    const {signal} = this.#done;
    // A page kept for the back button goes on with what it has in memory.
    globalThis.addEventListener?.('pagehide', (event) => /** @type {any} */ (event).persisted || this.leave(), {signal});
    session.on('closed', () => this.stop());
  }

  /** Takes up what an earlier page left. @param {(name: string, options: any) => Room} enter */
  restore(enter) {
    const text = this.#storage?.getItem(KEY);
    if (!this.#storage || !text || this.#session.state !== 'idle') return;
    this.#storage.removeItem(KEY);
    try {
      const saved = JSON.parse(text);
      this.#session.load(saved.session);
      for (const {name, options, generations} of saved.rooms) enter(name, options).load(generations);
    } catch {
      // Left by another version: begin anew.
      this.#session.forget();
    }
  }

  /** The page goes away: without a storage, so does the session, and nobody sees a ghost in the room. */
  leave() {
    if (!this.#storage) return this.#session.close();
    const rooms = this.#rooms().map((room) => room.save()); // ends the calls, whose media goes with the page
    const session = this.#session.save();
    if (session) this.#storage.setItem(KEY, JSON.stringify({session, rooms}));
    this.#session.close({detach: true});
  }

  stop() {
    this.#done.abort();
  }
}
