// The browser client of a Signalbox, https://…/client/signalbox.js on every box.
//
//   import {Signalbox} from '/client/signalbox.js';
//   const box = new Signalbox({token: () => fetchToken(), name: 'Panel 2'});
//   await box.connect();
//   const room = await box.join('line-3', {meta: {kind: 'panel'}});
//   room.on('join', (member) => console.log(member.name));
//   await room.send({hello: true});
//   const peer = room.peer(room.others[0].id);
//   for (const track of stream.getTracks()) peer.pc.addTrack(track, stream);

import {SignalboxError} from './errors.js';
import {Emitter} from './emitter.js';
import {signalURL} from './link.js';
import {Room} from './room.js';
import {Session} from './session.js';
import {PageStorage} from './storage.js';

export {SignalboxError};
export {closeRules} from './codes.js';
export {diagnose} from './diagnose.js';
export {filterServers, relayTransport} from './ice.js';
export {firstFrame, readStats, Rates} from './stats.js';

const CLIENT = 'signalbox.js/1';

/**
 * @typedef {object} Options
 * @property {string} [url]    the box: its page origin or its wss:// address; where this page came from when left out
 * @property {string | (() => string | Promise<string>)} [token]  a function is asked again when a token ends
 * @property {string} [name]   display name, the default for every room
 * @property {string} [client] free text for the box's log
 * @property {Storage} [storage]  sessionStorage, for a session that survives reloading the page
 * @property {import('./types.js').SocketClass} [WebSocket]  where there is none built in
 */

/** @typedef {import('./session.js').SessionEvents} Events */

/**
 * A connection to a box that is made once and kept: see Room for what to do with it.
 * @extends {Emitter<Omit<Events, 'frame'>>}
 */
export class Signalbox extends Emitter {
  #session;
  #storage;
  /** @type {Map<string, Room>} rooms joined or being joined, by name */
  #rooms = new Map();

  /** @param {Options} [options] */
  constructor(options = {}) {
    super();
    const session = new Session({client: CLIENT, ...options, url: signalURL(options.url)});
    this.#session = session;
    session.on('resumed', () => this.#joined().forEach((room) => room.resumed()));
    session.on('reset', () => this.#joined().forEach((room) => room.reset()));
    session.on('frame', (frame) => this.#rooms.get(frame.room)?.receive(frame));
    session.on('closed', (error) => this.#joined().forEach((room) => room.closed(error)));
    const passed = /** @type {const} */ (['open', 'suspended', 'resumed', 'reset', 'closed', 'ice', 'expiring', 'error']);
    for (const type of passed) session.on(type, (detail) => this.emit(type, detail));
    this.#storage = new PageStorage(options.storage, session, () => this.#joined());
  }

  /** `idle`, `connecting`, `open`, `suspended` or `closed`. */
  get state() {
    return this.#session.state;
  }

  /** The latest welcome of the box: session, identity, limits. Undefined before the first. */
  get welcome() {
    return this.#session.welcome;
  }

  /** The ICE servers in force; they are renewed without anything to do. */
  get ice() {
    return this.#session.ice;
  }

  /** Frames the box has not acknowledged yet. */
  get pending() {
    return this.#session.pending;
  }

  /** Rooms this session is in, by name. @type {ReadonlyMap<string, Room>} */
  get rooms() {
    return new Map(this.#joined().map((room) => [room.name, room]));
  }

  /** Connects, and from then on keeps connected. Rejects only for what trying again cannot mend. */
  async connect() {
    this.#storage.restore((name, options) => this.#enter(name, options));
    return this.#session.connect();
  }

  /**
   * Joins a room, or returns it when it is joined already. Resolves when its
   * members are known.
   * @param {string} name
   * @param {import('./types.js').JoinOptions} [options]
   */
  async join(name, options = {}) {
    const known = this.#rooms.get(name);
    const room = known && known.status !== 'left' ? known : this.#enter(name, options);
    await room.entered;
    return room;
  }

  /** Ends the session: every room is left at once. */
  close() {
    this.#storage.stop();
    this.#session.close();
  }

  /** The page is about to go away. Done by itself on `pagehide`; other programs may call it. */
  leavePage() {
    this.#storage.leave();
  }

  /** Gives the session a fresh token, in answer to `expiring`. @param {string} token */
  setToken(token) {
    return this.#session.setToken(token);
  }

  /** Tells that the network changed, where the browser does not notice: the box is probed at once. */
  networkChanged() {
    this.#session.networkChanged();
  }

  /** @param {string} name @param {import('./types.js').JoinOptions} options */
  #enter(name, options) {
    const room = new Room(this.#session, name, options);
    this.#rooms.set(name, room);
    room.enter();
    return room;
  }

  #joined() {
    return [...this.#rooms.values()].filter((room) => room.status !== 'left');
  }
}
