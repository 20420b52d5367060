import {Backoff} from './backoff.js';
import {Calls} from './calls.js';
import {deferred, Emitter} from './emitter.js';
import {SignalboxError} from './errors.js';
import {Roster} from './roster.js';

/** @typedef {import('./types.js').Frame} Frame */
/** @typedef {import('./types.js').Member} Member */
/** @typedef {import('./types.js').Receipt} Receipt */
/** @typedef {{data: any, version: number}} StateValue */

/** A resumed session gets a snapshot of each of its rooms at once; without one for this long, the room is asked after. */
const SNAPSHOT_MS = 3000;
/** Frames kept for an application that has not had the chance to listen yet. */
const MAX_HELD = 1024;

/**
 * @typedef {object} RoomEvents
 * @property {Member} join
 * @property {{member: Member, reason: string}} leave
 * @property {{member: Member, before: Member}} change   name, meta, or online ↔ suspended
 * @property {{data: any, from: string, member?: Member, will: boolean}} message
 * @property {{key: string, data: any, version: number, from?: string}} state
 * @property {Receipt} receipt     what became later of a message that was stored
 * @property {{member: string, gen: number}} incoming  somebody offers a call: answer with room.peer(member)
 * @property {{me: string}} rejoined  after a reset; every call has to be made anew
 * @property {SignalboxError} lost the room cannot be joined again
 */

/**
 * A room this session is in. It stays valid over cuts and even over a new
 * session, which joins it again.
 * @extends {Emitter<RoomEvents>}
 */
export class Room extends Emitter {
  #session;
  #options;
  #entered = deferred();
  #roster = new Roster();
  #retry = new Backoff();
  /** @type {Frame[] | undefined} held until the application has seen the room, then undefined */
  #held = [];
  #calls;
  /** @type {ReturnType<typeof setTimeout> | undefined} runs while a resumed room waits for its snapshot */
  #missing;
  /** Whether a reset was not followed by a snapshot yet. */
  #again = false;

  capacity = 0;
  description = '';
  version = 0;
  /** @type {'joining' | 'joined' | 'left'} */
  status = 'joining';
  /** @type {Map<string, StateValue>} the room's shared state */
  state = new Map();

  /**
   * Made by Signalbox.join.
   * @param {import('./session.js').Session} session
   * @param {string} name
   * @param {import('./types.js').JoinOptions} options
   */
  constructor(session, name, options) {
    super();
    this.#session = session;
    this.name = name;
    this.#options = {...options};
    this.#calls = new Calls(session, this);
  }

  /** Everybody in the room by member id, this side included. @type {ReadonlyMap<string, Member>} */
  get members() {
    return this.#roster.members;
  }

  /** This side's member id. */
  get me() {
    return this.#roster.me;
  }

  /** Everybody else, in the order of joining. */
  get others() {
    return [...this.members.values()].filter((member) => !member.self).sort((a, b) => a.joined - b.joined);
  }

  /**
   * Sends to everybody else, or to one member. Resolves with what became of it;
   * waiting for that is how a fast sender keeps to the box's pace.
   * @param {any} data
   * @param {{to?: string, key?: string}} [options]  `key` makes it idempotent, also over a new session
   * @returns {Promise<Receipt>}
   */
  async send(data, {to, key} = {}) {
    this.#alive();
    const later = (/** @type {Frame} */ frame) => this.emit('receipt', receipt(frame));
    return receipt(await this.#session.request({type: 'message', room: this.name, to, key, data}, later));
  }

  /**
   * Changes the room's shared state; needs the right `manage`.
   * @param {string} key
   * @param {any} data     null deletes
   * @param {{version?: number}} [options]  compare-and-set; 0: must not exist yet
   * @returns {Promise<number>} the new version
   */
  async set(key, data, {version} = {}) {
    this.#alive();
    const ok = await this.#session.request({type: 'set', room: this.name, key, data, version});
    this.#setState(key, data, ok.version);
    return ok.version;
  }

  /**
   * Changes what others see of this member.
   * @param {{name?: string, meta?: any}} change
   */
  async update(change) {
    this.#alive();
    Object.assign(this.#options, change);
    await this.#session.request({type: 'presence', room: this.name, ...change});
  }

  /** Leaves the room for good, with all its calls. */
  async leave() {
    if (this.status === 'left') return;
    this.#end();
    try {
      await this.#session.request({type: 'leave', room: this.name});
    } catch (error) {
      // A session that ended has left its rooms; anything else the caller should know.
      if (!['closed', 'session_reset', 'not_joined'].includes(/** @type {SignalboxError} */ (error).code)) throw error;
    }
  }

  /**
   * The negotiation with one member. The same one is returned until it is closed.
   * @param {string} member
   * @param {import('./peer.js').PeerOptions} [options]
   */
  peer(member, options) {
    this.#alive();
    return this.#calls.peer(member, options);
  }

  /** The negotiations under way. */
  get peers() {
    return this.#calls.peers;
  }

  /** Resolves once the members are known; rejects when the box does not let this session in. */
  get entered() {
    return this.#entered.promise;
  }

  /** Joins, also again after a reset. */
  async enter() {
    this.#roster.forget();
    try {
      await this.#session.request({type: 'join', room: this.name, ...this.#options});
    } catch (error) {
      this.#refused(/** @type {SignalboxError} */ (error));
    }
  }

  /** @param {SignalboxError} error */
  #refused(error) {
    // After a reset, Signalbox enters every room again.
    if (error.code === 'session_reset' || this.status === 'left') return;
    if (error.temporary && this.status === 'joined') {
      // Its own old member may still hold the seat until its window ends.
      setTimeout(() => this.status === 'joined' && this.enter(), error.retryAfterMs ?? 250 + this.#retry.next());
      return;
    }
    const first = this.status === 'joining';
    this.#end();
    this.#entered.reject(error);
    if (!first && error.code !== 'closed') this.emit('lost', error);
  }

  /** A new session took over: the old one's calls cannot be negotiated any further. */
  reset() {
    this.#again = this.status === 'joined';
    this.#calls.orphan();
    this.enter();
  }

  /**
   * The session goes on after a cut. A room this side was removed from meanwhile
   * does not: there is no snapshot of it, and nothing else that says so.
   */
  resumed() {
    clearTimeout(this.#missing);
    if (this.status === 'joined') this.#missing = setTimeout(() => this.#ask(), SNAPSHOT_MS);
  }

  async #ask() {
    const name = this.members.get(this.me)?.name;
    try {
      await this.#session.request({type: 'presence', room: this.name, name});
    } catch (error) {
      if (/** @type {SignalboxError} */ (error).code === 'not_joined' && this.status === 'joined') this.#removed('removed');
    }
  }

  /** @param {Frame} frame a frame of this room */
  receive(frame) {
    if (frame.type === 'joined') {
      this.capacity = frame.capacity ?? 0;
      this.description = frame.description ?? '';
      return this.#roster.joined(frame.member, frame.joined);
    }
    if (frame.type === 'room') return this.#snapshot(frame);
    if (!this.#held) return this.#deliver(frame);
    if (this.#held.length < MAX_HELD) this.#held.push(frame);
  }

  /** @param {Frame} frame */
  #snapshot(frame) {
    clearTimeout(this.#missing);
    const first = this.status !== 'joined';
    if ((frame.page ?? 1) === 1) this.state = new Map();
    for (const {key, data, version} of frame.state ?? []) this.state.set(key, {data, version});
    const changes = this.#roster.page(frame);
    this.version = Math.max(first ? 0 : this.version, frame.version ?? 0);
    if (!changes || this.status === 'left') return;
    this.status = 'joined';
    this.#retry.reset();
    if (!first) {
      changes.forEach((change) => this.#tell(change));
      if (this.#again) this.emit('rejoined', {me: this.me});
      this.#again = false;
      return;
    }
    this.#entered.resolve(undefined);
    // Whoever awaits the join gets to add listeners before anything is delivered.
    setTimeout(() => this.#release(), 0);
  }

  #release() {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const frame of held) this.#deliver(frame);
  }

  /** @param {Frame} frame */
  #deliver(frame) {
    const member = this.members.get(frame.from ?? '');
    switch (frame.type) {
      case 'presence':
        this.version = Math.max(this.version, frame.version ?? 0);
        return this.#roster.presence(frame).forEach((change) => this.#tell(change));
      case 'message':
        return this.emit('message', {data: frame.data, from: frame.from, member, will: frame.will === true});
      case 'state':
        this.#setState(frame.key, frame.data, frame.version);
        return this.emit('state', {key: frame.key, data: frame.data, version: frame.version, from: frame.from});
      default:
        this.#calls.receive(frame);
    }
  }

  /** @param {string} key @param {any} data @param {number} version */
  #setState(key, data, version) {
    if ((this.state.get(key)?.version ?? -1) > version) return;
    if (data === null) this.state.delete(key);
    else this.state.set(key, {data, version});
  }

  /** @param {import('./roster.js').Change} change */
  #tell(change) {
    if (change.type === 'leave') {
      this.#calls.left(change.member.id, change.reason);
      this.emit('leave', {member: change.member, reason: change.reason});
      if (change.member.id === this.me && change.reason !== 'left') this.#removed(change.reason);
    } else if (change.type === 'join') this.emit('join', change.member);
    else this.emit('change', {member: change.member, before: /** @type {Member} */ (change.before)});
  }

  /** @param {string} reason */
  #removed(reason) {
    this.#end();
    this.emit('lost', new SignalboxError(reason, `this member was removed from room "${this.name}": ${reason}`));
  }

  /** What a later page needs of this room. Its calls end: their media goes with this page. */
  save() {
    const generations = this.#calls.save();
    for (const peer of [...this.#calls.peers.values()]) peer.close('page left');
    return {name: this.name, options: this.#options, generations};
  }

  /** @param {[string, number][]} generations */
  load(generations) {
    this.#calls.load(generations);
  }

  /** The session ended. @param {SignalboxError} error */
  closed(error) {
    if (this.status === 'joining') this.#entered.reject(error);
    this.#end();
  }

  #end() {
    this.status = 'left';
    clearTimeout(this.#missing);
    this.#calls.close();
  }

  #alive() {
    if (this.status === 'left') throw new SignalboxError('not_joined', `room "${this.name}" was left; join it again`);
  }
}

/** @param {Frame} frame @returns {Receipt} */
function receipt(frame) {
  return {id: frame.id ?? 0, status: frame.status, count: frame.count};
}
