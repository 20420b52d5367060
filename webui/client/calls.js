import {Peer} from './peer.js';

/** @typedef {import('./types.js').Frame} Frame */

/** Frames kept of a call that nobody has answered: its offer and its candidates. */
const MAX_WAITING = 66;

/**
 * The negotiations of one room, by member. It also knows what outlives each of
 * them: the generation its pair has reached.
 */
export class Calls {
  /** @type {Map<string, Peer>} */
  peers = new Map();
  #room;
  /** @type {Map<string, number>} */
  #generations = new Map();
  /** @type {Map<string, boolean>} the box's own word on who is polite */
  #polite = new Map();
  /** @type {Map<string, Frame[]>} calls that wait for room.peer, by member */
  #waiting = new Map();

  /**
   * @param {import('./session.js').Session} session
   * @param {import('./room.js').Room} room
   */
  constructor(session, room) {
    this.session = session;
    this.#room = room;
    this.room = room.name;
  }

  /** @param {string} member @param {import('./peer.js').PeerOptions} [options] */
  peer(member, options = {}) {
    const known = this.peers.get(member);
    if (known && known.status === 'open') return known;
    const peer = new Peer(this, member, options);
    this.peers.set(member, peer);
    const waiting = this.#waiting.get(member) ?? [];
    this.#waiting.delete(member);
    // What is added to the connection right after this call belongs into the answer.
    if (waiting.length > 0) queueMicrotask(() => waiting.forEach((frame) => peer.receive(frame)));
    return peer;
  }

  /** @param {Frame} frame a negotiation frame of this room */
  receive(frame) {
    const member = frame.from ?? frame.member;
    if (!member) return;
    if (frame.from && typeof frame.polite === 'boolean') this.#polite.set(member, frame.polite);
    const peer = this.peers.get(member);
    if (peer && peer.status === 'open') return peer.receive(frame);
    const waiting = this.#waiting.get(member);
    switch (frame.type) {
      case 'offer':
        this.#waiting.set(member, [frame]);
        return this.#room.emit('incoming', {member, gen: frame.gen ?? 0});
      case 'candidate': case 'end-of-candidates':
        if (waiting && waiting.length < MAX_WAITING) waiting.push(frame);
        return;
      case 'bye':
        this.#waiting.delete(member);
        return;
      case 'answer':
        // It answers an offer of ours that was taken back since.
        this.session.send({type: 'bye', room: this.room, to: member, gen: frame.gen});
    }
  }

  /** The other side has a new connection: this one ends, and the offer is as a first one. @param {Peer} peer @param {Frame} frame */
  replaced(peer, frame) {
    peer.close('replaced', false);
    this.receive(frame);
  }

  /** @param {Peer} peer */
  closed(peer) {
    if (this.peers.get(peer.member) === peer) this.peers.delete(peer.member);
  }

  /** @param {string} member @param {string} reason */
  left(member, reason) {
    this.peers.get(member)?.close(reason, false);
    this.#waiting.delete(member);
    this.#generations.delete(member);
    this.#polite.delete(member);
  }

  /** The session is a new one, so all pairs are. The peers keep their media, and nothing else. */
  orphan() {
    const peers = [...this.peers.values()];
    this.peers.clear();
    this.#waiting.clear();
    this.#generations.clear();
    this.#polite.clear();
    for (const peer of peers) peer.orphan();
  }

  close() {
    for (const peer of [...this.peers.values()]) peer.close('left', this.session.state === 'open');
    this.#waiting.clear();
  }

  /** @param {string} member */
  generation(member) {
    return this.#generations.get(member) ?? 0;
  }

  /** @param {string} member @param {number} gen */
  setGeneration(member, gen) {
    this.#generations.set(member, Math.max(gen, this.generation(member)));
  }

  /** @param {string} member */
  polite(member) {
    return this.#polite.get(member) ?? this.#room.members.get(member)?.polite ?? false;
  }

  /** What a later page needs: see storage.js. */
  save() {
    return [...this.#generations];
  }

  /** @param {[string, number][]} saved */
  load(saved) {
    this.#generations = new Map(saved);
  }
}
