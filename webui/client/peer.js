import {Emitter} from './emitter.js';
import {SignalboxError} from './errors.js';
import {candidateType, candidateTypes, filterServers} from './ice.js';
import {Mender} from './mender.js';
import {Negotiator} from './negotiator.js';
import {readStats} from './stats.js';

/** @typedef {import('./types.js').Frame} Frame */

/**
 * @typedef {object} PeerOptions
 * @property {RTCIceTransportPolicy} [iceTransportPolicy]  `relay`: only through the box
 * @property {import('./ice.js').RelayTransport} [relayTransport]  how to reach the relay
 * @property {RTCConfiguration} [rtc]  anything else for the RTCPeerConnection
 * @property {typeof RTCPeerConnection} [RTCPeerConnection]  where there is none built in
 */

/**
 * @typedef {object} PeerEvents
 * @property {{connection: RTCPeerConnectionState, ice: RTCIceConnectionState}} state
 * @property {{text: string}} step       what happens, for a log that people read
 * @property {SignalboxError} failure    see diagnose for the reasons behind it
 * @property {{reason: string}} orphaned the session is a new one: media may flow on, negotiation cannot
 * @property {{reason: string}} closed
 */

/** How often a frame that was refused for now is sent again. */
const MAX_TRIES = 6;

/**
 * A negotiation with one member of a room. Use `pc` as any RTCPeerConnection:
 * adding a track or a data channel is all it takes for offers to go out.
 * @extends {Emitter<PeerEvents>}
 */
export class Peer extends Emitter {
  #calls;
  #options;
  #negotiator;
  #mender;
  #unlisten;
  /** The lowest generation that belongs to this negotiation; lower ones are of the pair's earlier ones. */
  #first;

  /** @type {RTCPeerConnection} */
  pc;
  /** @type {'open' | 'orphaned' | 'closed'} */
  status = 'open';
  /** When the first frame of this negotiation was sent or received, by performance.now(). @type {number | undefined} */
  startedAt;
  /** What is known about candidates: see diagnose. */
  facts = {
    /** @type {Record<string, number>} */ local: {},
    /** @type {Record<string, number>} */ remote: {},
    /** @type {{url: string, code: number, text: string}[]} */ errors: [],
    offered: false,
    answered: false,
    connected: false,
    /** @type {string | undefined} what became of the latest offer */ receipt: undefined,
  };

  /**
   * Made by Room.peer.
   * @param {import('./calls.js').Calls} calls
   * @param {string} member
   * @param {PeerOptions} options
   */
  constructor(calls, member, options) {
    super();
    this.#calls = calls;
    this.member = member;
    this.#options = options;
    this.#first = calls.generation(member) + 1;
    const Connection = options.RTCPeerConnection ?? globalThis.RTCPeerConnection;
    if (!Connection) throw new SignalboxError('no_webrtc', 'there is no RTCPeerConnection here; pass one in the options');
    const pc = (this.pc = new Connection(this.#configuration()));
    const peer = this;
    this.#negotiator = new Negotiator(pc, {
      get generation() { return calls.generation(member); },
      set generation(gen) { calls.setGeneration(member, gen); },
      polite: () => calls.polite(member),
      send: (type, fields) => peer.#send(type, fields),
      replaced: (frame) => calls.replaced(peer, frame),
      failed: (code, error) => peer.#failed(code, error),
      step: (text) => peer.emit('step', {text}),
    });
    this.#mender = new Mender(pc, () => calls.polite(member), (text) => this.emit('step', {text}));
    this.#observe(pc);
    this.#unlisten = calls.session.on('ice', () => this.#useServers());
  }

  /** @returns {RTCConfiguration} */
  #configuration() {
    const {rtc, iceTransportPolicy, relayTransport} = this.#options;
    const iceServers = filterServers(this.#calls.session.ice.servers, relayTransport);
    return {iceTransportPolicy: iceTransportPolicy ?? 'all', ...rtc, iceServers};
  }

  #useServers() {
    if (this.status === 'closed') return;
    try {
      this.pc.setConfiguration(this.#configuration());
      this.emit('step', {text: 'took over renewed relay credentials'});
    } catch (error) {
      this.#failed('configuration', error);
    }
  }

  /** @param {RTCPeerConnection} pc */
  #observe(pc) {
    const state = () => {
      if (pc.connectionState === 'connected') this.facts.connected = true;
      this.emit('state', {connection: pc.connectionState, ice: pc.iceConnectionState});
      if (pc.connectionState === 'failed') {
        this.emit('failure', new SignalboxError('connection_failed', 'no way between the two sides was found, or it was lost', {temporary: true}));
      }
    };
    pc.addEventListener('connectionstatechange', state);
    pc.addEventListener('iceconnectionstatechange', () => this.emit('state', {connection: pc.connectionState, ice: pc.iceConnectionState}));
    pc.addEventListener('icecandidate', ({candidate}) => count(this.facts.local, candidateType(candidate?.candidate)));
    pc.addEventListener('icecandidateerror', (event) => {
      const {url, errorCode: code, errorText: text} = /** @type {RTCPeerConnectionIceErrorEvent} */ (event);
      if (this.facts.errors.length < 32) this.facts.errors.push({url, code, text});
    });
  }

  /** @param {Frame} frame from the box, of this pair */
  receive(frame) {
    if (frame.type === 'bye') {
      // One that was on its way when this negotiation began means the one before.
      if ((frame.gen ?? Infinity) >= this.#first) this.close('bye', false);
      return;
    }
    this.startedAt ??= performance.now();
    switch (frame.type) {
      case 'restart':
        return this.#mender.restart(`the box asks for it: ${frame.reason ?? 'no reason given'}`);
      case 'candidate':
        count(this.facts.remote, candidateType(frame.data?.candidate));
        break;
      case 'offer': case 'answer':
        if (frame.type === 'answer') this.facts.answered = true;
        for (const type of candidateTypes(frame.data?.sdp)) count(this.facts.remote, type);
    }
    this.#negotiator.receive(frame);
  }

  /** @param {string} type @param {{gen: number, data?: any}} fields */
  #send(type, fields, attempt = 1) {
    if (this.status !== 'open') return;
    this.startedAt ??= performance.now();
    const frame = {type, room: this.#calls.room, to: this.member, ...fields};
    const refused = (/** @type {SignalboxError} */ error) => this.#refused(type, fields, error, attempt);
    try {
      if (type !== 'offer') return this.#calls.session.send(frame, refused);
      this.facts.offered = true;
      const told = (/** @type {Frame} */ receipt) => this.#receipt(receipt);
      this.#calls.session.request(frame, told).then(told, refused);
    } catch (error) {
      this.#failed('send', error);
    }
  }

  /** @param {Frame} receipt */
  #receipt(receipt) {
    this.facts.receipt = receipt.status;
    if (receipt.status === 'absent') this.#failed('absent', new Error('the other side is not in the room any more'));
    else this.emit('step', {text: `the offer is ${receipt.status}`});
  }

  /**
   * @param {string} type @param {{gen: number, data?: any}} fields
   * @param {SignalboxError} error @param {number} attempt
   */
  #refused(type, fields, error, attempt) {
    if (this.status !== 'open' || error.code === 'closed' || error.code === 'session_reset') return;
    if (error.code === 'stale_generation') {
      if (type === 'offer') this.#negotiator.stale(fields.gen, error.frame?.gen ?? 0);
      return;
    }
    if (!error.temporary || attempt >= MAX_TRIES) return this.#failed(error.code, error);
    const wait = error.retryAfterMs ?? 250 * 2 ** attempt;
    setTimeout(() => this.#negotiator.current(fields.gen) && this.#send(type, fields, attempt + 1), wait);
  }

  /** @param {string} code @param {unknown} cause */
  #failed(code, cause) {
    if (this.status === 'closed') return;
    const error = new SignalboxError(code, /** @type {Error} */ (cause)?.message ?? String(cause), {cause});
    this.emit('failure', error);
    // With descriptions that do not fit each other there is no going on, and the other side would wait for ever.
    if (code === 'description') this.close('description');
  }

  /** Looks for a new way between the two sides, keeping media and tracks. */
  restartIce() {
    this.#mender.restart('asked for');
  }

  /** The pair of candidates in use, its relay protocol, and what flows: see stats.js. */
  stats() {
    return readStats(this.pc);
  }

  /** The room's session is a new one. The media may go on until the application closes it. */
  orphan(reason = 'reset') {
    if (this.status !== 'open') return;
    this.status = 'orphaned';
    this.#stop();
    this.emit('orphaned', {reason});
  }

  /** Ends the call. @param {string} [reason] @param {boolean} [tell] whether the other side is told */
  close(reason = 'closed', tell = true) {
    if (this.status === 'closed') return;
    if (tell && this.startedAt !== undefined) this.#send('bye', {gen: this.#calls.generation(this.member)});
    this.status = 'closed';
    this.#stop();
    this.pc.close();
    this.#calls.closed(this);
    this.emit('closed', {reason});
  }

  /** Resolves when everything received so far has been dealt with. */
  settled() {
    return this.#negotiator.settled();
  }

  #stop() {
    this.#unlisten();
    this.#mender.stop();
    this.#negotiator.close();
  }
}

/** @param {Record<string, number>} counts @param {string | undefined} key */
function count(counts, key) {
  if (key) counts[key] = (counts[key] ?? 0) + 1;
}
