import {nextGeneration, origin, ufrags} from './generation.js';

/** @typedef {import('./types.js').Frame} Frame */

/** Candidates kept for a description that has not come; the box keeps as many. */
const MAX_EARLY = 64;

/**
 * What a Negotiator needs of the world around it.
 * @typedef {object} Wire
 * @property {number} generation  the pair's highest, sent or received; outlives the negotiator
 * @property {() => boolean} polite
 * @property {(type: string, fields: {gen: number, data?: any}) => void} send
 * @property {(frame: Frame) => void} replaced  the offer comes from another RTCPeerConnection than before
 * @property {(code: string, error: unknown) => void} failed
 * @property {(step: string) => void} step      for whoever wants to follow
 */

/**
 * Perfect negotiation by generations. Everything that touches the connection's
 * descriptions runs one after the other, so that no step sees another one half
 * done; between steps, the generations say what still counts.
 */
export class Negotiator {
  #pc;
  #wire;
  #chain = Promise.resolve();
  #closed = false;
  #needed = false;
  /** Generation of the offer that waits for its answer, 0 when none does. */
  #offered = 0;
  /** Generation of the remote description in force. */
  #remote = 0;
  /** Names the remote RTCPeerConnection. @type {string | undefined} */
  #origin;
  /** Generation of the local description in force, once it was sent. */
  #local = 0;
  /** @type {Map<string, number>} the latest generation sent with each of our ICE user fragments */
  #ufrags = new Map();
  /** @type {RTCIceCandidate[] | undefined} ours, found while their description is being made */
  #unsent;
  /** @type {Frame[]} theirs, come before their description */
  #early = [];
  #ended = 0;

  /** @param {RTCPeerConnection} pc @param {Wire} wire */
  constructor(pc, wire) {
    this.#pc = pc;
    this.#wire = wire;
    pc.onnegotiationneeded = () => {
      this.#needed = true;
      this.#run(() => this.#offer());
    };
    pc.onicecandidate = ({candidate}) => this.#candidate(candidate);
  }

  /** @param {Frame} frame */
  receive(frame) {
    const step = {
      offer: () => this.#onOffer(frame),
      answer: () => this.#onAnswer(frame),
      candidate: () => this.#onCandidate(frame),
      'end-of-candidates': () => this.#onCandidate(frame),
    }[frame.type];
    if (step) this.#run(step);
  }

  /**
   * The box refused a frame as stale. Had a higher offer been on its way to us
   * it would have come first; when none has, our numbers are too low.
   * @param {number} gen @param {number} current
   */
  stale(gen, current) {
    this.#run(async () => {
      this.#wire.generation = Math.max(this.#wire.generation, current);
      if (this.#offered !== gen) return;
      await this.#rollback();
      this.#needed = true;
      await this.#offer();
    });
  }

  /** Whether a frame of that generation still matters to the pair. @param {number} gen */
  current(gen) {
    return !this.#closed && gen === this.#wire.generation;
  }

  /** Resolves when everything received so far has been dealt with. */
  settled() {
    return this.#chain;
  }

  close() {
    this.#closed = true;
    this.#pc.onnegotiationneeded = this.#pc.onicecandidate = null;
  }

  /** @param {() => Promise<void>} step */
  #run(step) {
    this.#chain = this.#chain.then(() => (this.#closed ? undefined : step())).catch((error) => {
      if (!this.#closed) this.#wire.failed('negotiation', error);
    });
  }

  async #offer() {
    // In any other state the browser asks again once it is stable.
    if (!this.#needed || this.#pc.signalingState !== 'stable') return;
    const gen = nextGeneration(this.#wire.generation, this.#wire.polite());
    await this.#describe('offer', gen);
    this.#offered = gen;
  }

  /** @param {Frame} frame */
  async #onOffer(frame) {
    const gen = frame.gen ?? 0;
    if (gen <= this.#wire.generation) return this.#wire.step(`dropped an offer of generation ${gen}: ${this.#wire.generation} is under way`);
    const from = origin(frame.data?.sdp);
    if (this.#origin !== undefined && from !== this.#origin) return this.#wire.replaced(frame);
    this.#wire.generation = gen;
    if (this.#offered) {
      this.#wire.step(`gave way to the other side's offer of generation ${gen}`);
      await this.#rollback();
    }
    try {
      await this.#pc.setRemoteDescription(frame.data);
    } catch (error) {
      return this.#wire.failed('description', error);
    }
    this.#origin = from;
    await this.#describe('answer', gen);
    await this.#applied(gen);
  }

  /** @param {Frame} frame */
  async #onAnswer(frame) {
    if (!this.#offered || frame.gen !== this.#offered) return;
    this.#offered = 0;
    try {
      await this.#pc.setRemoteDescription(frame.data);
    } catch (error) {
      return this.#wire.failed('description', error);
    }
    this.#origin = origin(frame.data?.sdp);
    this.#wire.step('got the answer');
    await this.#applied(frame.gen);
  }

  /** @param {number} gen the remote description of this generation is in force */
  async #applied(gen) {
    this.#remote = gen;
    const early = this.#early.filter((frame) => (frame.gen ?? 0) >= gen);
    this.#early = [];
    for (const frame of early) await this.#onCandidate(frame);
  }

  /** @param {Frame} frame a candidate or the end of them */
  async #onCandidate(frame) {
    const gen = frame.gen ?? this.#remote;
    if (gen < this.#remote) return;
    if (gen > this.#remote || !this.#pc.remoteDescription) {
      if (this.#early.length < MAX_EARLY) this.#early.push(frame);
      return;
    }
    try {
      if (frame.type === 'candidate') await this.#pc.addIceCandidate(frame.data);
      else await this.#pc.addIceCandidate();
    } catch (error) {
      // One candidate the browser cannot use leaves the others.
      this.#wire.step(`could not use a candidate: ${/** @type {Error} */ (error).message}`);
    }
  }

  async #rollback() {
    for (const ufrag of ufrags(this.#pc.localDescription?.sdp)) {
      if (this.#ufrags.get(ufrag) === this.#offered) this.#ufrags.delete(ufrag);
    }
    this.#offered = 0;
    if (this.#pc.signalingState === 'have-local-offer') await this.#pc.setLocalDescription({type: 'rollback'});
  }

  /** @param {'offer' | 'answer'} type @param {number} gen */
  async #describe(type, gen) {
    // What the browser wants negotiated until now is in here; later wishes it tells again.
    this.#needed = false;
    this.#unsent = [];
    await this.#pc.setLocalDescription();
    const description = /** @type {RTCSessionDescription} */ (this.#pc.localDescription);
    this.#wire.generation = this.#local = gen;
    for (const ufrag of ufrags(description.sdp)) this.#ufrags.set(ufrag, gen);
    this.#wire.send(type, {gen, data: {type: description.type, sdp: description.sdp}});
    this.#wire.step(`sent the ${type}, generation ${gen}`);
    const unsent = this.#unsent;
    this.#unsent = undefined;
    for (const candidate of unsent) this.#candidate(candidate);
    if (this.#pc.iceGatheringState === 'complete') this.#end();
  }

  /** @param {RTCIceCandidate | null} candidate */
  #candidate(candidate) {
    if (this.#closed) return;
    if (!candidate?.candidate) return this.#end();
    if (this.#unsent) {
      if (this.#unsent.length < MAX_EARLY) this.#unsent.push(candidate);
      return;
    }
    // One of a description that was rolled back belongs to nothing.
    const gen = candidate.usernameFragment ? this.#ufrags.get(candidate.usernameFragment) : this.#local;
    if (gen) this.#wire.send('candidate', {gen, data: candidate.toJSON?.() ?? candidate});
  }

  /** Gathering is complete for the description in force. */
  #end() {
    if (this.#unsent || !this.#local || this.#ended === this.#local) return;
    this.#ended = this.#local;
    this.#wire.send('end-of-candidates', {gen: this.#local});
  }
}
