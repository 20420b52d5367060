import {Backoff} from './backoff.js';
import {closeRule} from './codes.js';
import {deferred, Emitter} from './emitter.js';
import {SignalboxError} from './errors.js';
import {Lane} from './lane.js';
import {Link} from './link.js';
import {watchNetwork} from './network.js';
import {Requests} from './requests.js';
import {TokenSource} from './token.js';

/** @typedef {import('./types.js').Frame} Frame */
/** @typedef {import('./types.js').Welcome} Welcome */
/** @typedef {import('./link.js').Down} Down */

/** A link that lived this long was a good one: the next cut starts the back-off anew. */
const STABLE_MS = 5000;
/** One gap in the numbers can be an accident; this many in a row mean that resuming leads nowhere. */
const MAX_GAPS = 3;

/**
 * @typedef {object} SessionOptions
 * @property {string} url
 * @property {string | (() => string | Promise<string>)} [token]
 * @property {string} [name]
 * @property {string} [client]     free text for the box's log
 * @property {import('./types.js').SocketClass} [WebSocket]
 * @property {() => number} [random]
 * @property {number} [openMs]     how long one attempt to connect may take
 */

/**
 * @typedef {object} SessionEvents
 * @property {Welcome} open
 * @property {{code: number, name: string, text: string, retryInMs: number}} suspended
 * @property {Welcome} resumed
 * @property {{reason: string}} reset     the session is a new one; rooms must be joined again
 * @property {SignalboxError} closed      final: nothing is tried again
 * @property {Frame} frame                addressed to a room
 * @property {import('./types.js').Ice} ice
 * @property {{expires: number}} expiring the token runs out and no function can renew it
 * @property {SignalboxError} error       a refusal that nobody asked about, or a token that could not be had
 */

/**
 * A session outlives its sockets: it connects again by itself, resumes, sends
 * again what was not acknowledged, and drops what comes twice.
 * @extends {Emitter<SessionEvents>}
 */
export class Session extends Emitter {
  #options;
  #token;
  #backoff;
  #lane = new Lane();
  #requests = new Requests();
  /** @type {Link | undefined} */
  #link;
  #welcomed = false;
  /** @type {{session: string, token: string} | undefined} */
  #resume;
  /** Whether there ever was a session, so that a new one is a reset. */
  #began = false;
  #gaps = 0;
  #refreshing = 0;
  /** @type {ReturnType<typeof deferred<Welcome>> | undefined} */
  #first;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #retry;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #stable;
  #unwatch = () => {};

  /** @type {'idle' | 'connecting' | 'open' | 'suspended' | 'closed'} */
  state = 'idle';
  /** @type {Welcome | undefined} the latest one */
  welcome;
  /** @type {import('./types.js').Ice} */
  ice = {servers: []};

  /** @param {SessionOptions} options */
  constructor(options) {
    super();
    this.#options = options;
    this.#token = new TokenSource(options.token);
    this.#backoff = new Backoff(options.random);
  }

  /** Sequenced frames the box has not acknowledged. */
  get pending() {
    return this.#lane.outbox.pending;
  }

  /**
   * Connects and keeps connected. Resolves with the first welcome; rejects when
   * it is final that there will be none.
   */
  connect() {
    if (this.#first) return this.#first.promise;
    this.#first = deferred();
    this.#unwatch = watchNetwork({changed: () => this.networkChanged(), woke: () => this.#wake()});
    this.state = 'connecting';
    this.#dial();
    return this.#first.promise;
  }

  /**
   * Sends a sequenced frame, now or when the box can be reached again.
   * @param {Frame} frame
   * @param {(error: SignalboxError) => void} [refused]  hears of an error about this frame
   */
  send(frame, refused) {
    this.#alive();
    const seq = this.#lane.push(frame);
    if (refused) this.#requests.onRefused(seq, refused);
  }

  /**
   * Sends a sequenced frame that the box answers.
   * @param {Frame} frame
   * @param {(frame: Frame) => void} [later]  hears what follows the answer
   * @returns {Promise<Frame>}
   */
  async request(frame, later) {
    this.#alive();
    const {answer} = this.#requests.add(frame, later);
    try {
      this.#lane.push(frame);
    } catch (error) {
      this.#requests.remove(frame.id);
      throw error;
    }
    return answer.promise;
  }

  /**
   * Gives the session a fresh token.
   * @param {string} token
   */
  setToken(token) {
    this.#token.set(token);
    return this.#refresh();
  }

  /** The network may be another one: ask for life at once, or stop waiting and connect now. */
  networkChanged() {
    if (!this.#welcomed) return this.#wake();
    this.#link?.send({type: 'network-changed'});
    this.#link?.probe();
  }

  /** Ends the session at once, or, with `detach`, leaves it for a later page to resume. */
  close({detach = false} = {}) {
    this.#link?.close(detach ? 3000 : 1000);
    this.#link = undefined;
    this.#finish(new SignalboxError('closed', 'the session was closed by this side'));
  }

  /** All that a later page needs to continue this session; undefined when there is none. */
  save() {
    if (!this.#resume || this.state === 'closed') return undefined;
    const {outbox, inbox} = this.#lane;
    return {resume: this.#resume, outbox: outbox.save(), inbox: inbox.save(), lastId: this.#requests.last};
  }

  /** @param {NonNullable<ReturnType<Session['save']>>} saved */
  load(saved) {
    this.#began = true;
    this.#resume = saved.resume;
    this.#lane.outbox.load(saved.outbox);
    this.#lane.inbox.load(saved.inbox);
    this.#requests.last = saved.lastId;
  }

  /** Begins anew, whatever load has brought. */
  forget() {
    this.#began = false;
    this.#resume = undefined;
    this.#lane.outbox.restart();
    this.#lane.inbox.restart();
  }

  #alive() {
    if (this.state === 'closed') throw new SignalboxError('closed', 'the session is closed; make a new Signalbox');
  }

  async #dial() {
    clearTimeout(this.#retry);
    this.#retry = undefined;
    let token;
    try {
      token = await this.#token.current();
    } catch (cause) {
      const error = new SignalboxError('token_source', 'no token could be had; it is asked for again', {temporary: true, cause});
      this.emit('error', error);
      return this.#retryLater({code: 4007, opened: false}, error.message);
    }
    // Something else may have dialled or closed while the token was on its way.
    if (this.state === 'closed' || this.#link) return;
    const {WebSocket: Socket = globalThis.WebSocket, url, client, name, openMs = 10_000} = this.#options;
    const resume = this.#resume && {...this.#resume, ack: this.#lane.inbox.received};
    try {
      /** @type {Link} */
      const link = new Link(Socket, url, {
        open: () => link.send({type: 'hello', token, client, name, resume}),
        frame: (frame) => this.#receive(frame, link),
        down: (down) => this.#down(down),
      }, openMs);
      this.#link = link;
    } catch (cause) {
      this.#finish(new SignalboxError('bad_url', `this page may not connect to ${url}: ${/** @type {Error} */ (cause).message}`, {cause}));
    }
  }

  /** Stops waiting for the next attempt, or makes sure the link still lives. */
  #wake() {
    if (this.#link) return this.#link.probe();
    if (this.#retry === undefined) return;
    this.#backoff.reset();
    this.#dial();
  }

  /** @param {Frame} frame @param {Link} link */
  #receive(frame, link) {
    if (!this.#welcomed) {
      if (frame.type === 'welcome') this.#welcome(/** @type {any} */ (frame), link);
      else if (frame.type === 'error') this.emit('error', SignalboxError.from(frame));
      return;
    }
    const verdict = this.#lane.receive(frame);
    if (verdict === 'gap') return this.#giveUp(4006);
    if (verdict === 'new') this.#dispatch(frame);
    if (frame.seq) this.#lane.acknowledge();
  }

  /** @param {Welcome} welcome @param {Link} link */
  #welcome(welcome, link) {
    const {outbox, inbox} = this.#lane;
    if (welcome.resumed && !outbox.rewind(welcome.ack)) {
      // The box wants frames it had acknowledged before: this session cannot go on.
      this.#resume = undefined;
      return this.#giveUp(4006);
    }
    const left = welcome.resumed || !this.#began ? [] : outbox.restart();
    if (!welcome.resumed) inbox.restart();
    outbox.window = inbox.window = welcome.limits.unacked_frames;
    outbox.frameBytes = welcome.limits.frame_bytes;
    this.welcome = welcome;
    this.#resume = {session: welcome.session, token: welcome.resume};
    this.#token.accepted(welcome.identity?.expires);
    this.#welcomed = true;
    this.state = 'open';
    link.watch(welcome.ping_ms, welcome.dead_ms);
    this.#backoff.ease();
    this.#stable = setTimeout(() => this.#backoff.reset(), STABLE_MS);
    this.#lane.attach(link);
    if (welcome.ice) this.#useIce(welcome.ice);
    if (this.#began && !welcome.resumed) this.#reset(welcome.reason ?? 'unknown', left);
    this.#began = true;
    this.emit(welcome.resumed ? 'resumed' : 'open', welcome);
    this.#lane.pump();
    this.#first?.resolve(welcome);
  }

  /**
   * A new session took the place of the old one. What certainly never reached
   * the box, and what a key protects from being delivered twice, goes out
   * again once the rooms are joined. The outcome of whatever else was under way
   * is unknown, which its sender is told.
   * @param {string} reason
   * @param {import('./outbox.js').Entry[]} left
   */
  #reset(reason, left) {
    const again = left.map(({frame, sent}) => ({frame, sent})).filter(({frame, sent}) =>
      frame.type === 'message' ? !sent || frame.key : frame.type === 'set' && !sent);
    const error = new SignalboxError('session_reset',
      `the box began a new session (${reason}); whether this frame had an effect is not known`, {temporary: true});
    this.#requests.fail(error, new Set(again.map(({frame}) => frame.id)));
    this.emit('reset', {reason}); // the rooms are joined again before anything is sent to them
    for (const {frame} of again) this.#lane.push(frame);
  }

  /** @param {Frame} frame */
  #dispatch(frame) {
    switch (frame.type) {
      case 'ice':
        return this.#useIce({servers: frame.servers, expires: frame.expires});
      case 'auth.expiring':
        return this.#renew(frame.expires);
      case 'refreshed':
        this.#token.accepted(frame.expires);
        return this.#requests.settle(frame);
      case 'joined':
        this.emit('frame', frame);
        return this.#requests.settle(frame);
      case 'ok': case 'sent': case 'error':
        if (!this.#requests.settle(frame) && frame.type === 'error') this.emit('error', SignalboxError.from(frame));
        return;
      default:
        if (frame.room) this.emit('frame', frame);
    }
  }

  /** @param {import('./types.js').Ice} ice */
  #useIce(ice) {
    this.ice = ice;
    this.emit('ice', ice);
  }

  /** @param {number} expires */
  #renew(expires) {
    if (!this.#token.renew()) return this.emit('expiring', {expires});
    this.#refresh();
  }

  async #refresh() {
    try {
      const frame = {type: 'refresh', token: await this.#token.current(), id: 0};
      if (!this.#welcomed) return; // the next hello carries the token
      const {answer} = this.#requests.add(frame);
      this.#refreshing = frame.id;
      this.#link?.send(frame);
      await answer.promise;
    } catch (cause) {
      const error = cause instanceof SignalboxError ? cause : new SignalboxError('token_source', 'no fresh token could be had', {temporary: true, cause});
      this.emit('error', error);
    }
  }

  /**
   * This side ends the socket, not the session.
   * @param {number} code
   */
  #giveUp(code) {
    this.#link?.close(code);
    this.#down({code, opened: true});
  }

  /** @param {Down} down */
  #down(down) {
    this.#link = undefined;
    this.#welcomed = false;
    this.#lane.detach();
    this.#requests.remove(this.#refreshing);
    clearTimeout(this.#stable);
    this.#gaps = down.code === 4006 ? this.#gaps + 1 : 0;
    if (this.#gaps >= MAX_GAPS) this.#resume = undefined;
    const rule = closeRule(down.code);
    const refused = down.closing?.error;
    const expired = rule.then === 'token' || refused === 'token_expired';
    if (expired ? this.#token.renew() : rule.then === 'resume') return this.#retryLater(down);
    const text = down.closing?.message ?? `${rule.text} (close code ${down.code})`;
    this.#finish(new SignalboxError(refused ?? rule.name, text, {frame: down.closing}));
  }

  /** @param {Down} down @param {string} [why] */
  #retryLater(down, why) {
    if (this.state === 'closed') return;
    const {name, text} = closeRule(down.code);
    const retryInMs = Math.round(this.#backoff.next(down.closing?.retry_after_ms));
    this.state = this.#resume ? 'suspended' : 'connecting';
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.#dial(), retryInMs);
    this.emit('suspended', {code: down.code, name, text: why ?? down.closing?.message ?? text, retryInMs});
  }

  /** @param {SignalboxError} error */
  #finish(error) {
    if (this.state === 'closed') return;
    this.state = 'closed';
    this.#welcomed = false;
    clearTimeout(this.#retry);
    clearTimeout(this.#stable);
    this.#lane.detach();
    this.#unwatch();
    this.#requests.fail(error);
    this.#first?.reject(error);
    this.emit('closed', error);
  }
}
