import {sockets, welcome} from './socket.js';

const NEGOTIATION = ['offer', 'answer', 'candidate', 'end-of-candidates', 'bye'];

/**
 * A box of one room, as far as negotiation goes: sequence numbers both ways with
 * resume, polite bits, generations, held candidates, receipts. Frames travel
 * through a Simulation, in order on each socket and in any order across sockets.
 */
export class FakeBox {
  sessions = [];
  refused = 0;
  #generation = new Map(); // of a pair
  #described = new Map();  // from>to: generation of the latest description passed on
  #held = new Map();       // from>to: candidates that wait for it
  #receipts = new Map();

  constructor(sim) {
    this.sim = sim;
    this.Socket = this.#socketClass();
  }

  #socketClass() {
    const box = this;
    const {Socket: Plain} = sockets();
    return class extends Plain {
      constructor(url, protocol) {
        super(url, protocol);
        const lane = {};
        this.far.lane = {up: {...lane}, down: {...lane}};
        this.far.onframe = (frame) => box.sim.later(() => box.#take(this.far, frame), this.far.lane.up);
        box.sim.later(() => this.far.open(), this.far.lane.down);
      }
    };
  }

  /** Cuts the socket of a session: what is on its way, in either direction, is lost. */
  cut(session) {
    const far = session.far;
    if (!far) return;
    session.far = undefined;
    far.dead = true;
    far.cut();
  }

  #write(far, frame) {
    this.sim.later(() => far.dead || far.send(frame), far.lane.down);
  }

  #push(session, frame) {
    frame.seq = ++session.out;
    session.log.push(frame);
    if (session.far) this.#write(session.far, {...frame, ack: session.in});
  }

  #take(far, frame) {
    if (far.dead) return;
    if (frame.type === 'hello') return this.#hello(far, frame);
    const session = far.session;
    if (frame.ack) session.log = session.log.filter(({seq}) => seq > frame.ack);
    if (!frame.seq) return;
    if (frame.seq <= session.in) return;
    if (frame.seq !== session.in + 1) throw new Error(`the client left out a frame: got ${frame.seq} after ${session.in}`);
    session.in = frame.seq;
    if (frame.type === 'join') return this.#join(session, frame);
    if (NEGOTIATION.includes(frame.type)) this.#relay(session, frame);
    if (session.far) this.#write(session.far, {type: 'ack', ack: session.in});
  }

  #hello(far, {resume}) {
    let session = this.sessions.find(({id}) => id === resume?.session);
    const resumed = session !== undefined;
    if (!session) {
      const n = this.sessions.length + 1;
      session = {id: `s_${n}`, member: `m_${n}`, joined: n, in: 0, out: 0, log: []};
      this.sessions.push(session);
    }
    session.far = far;
    far.session = session;
    this.#write(far, welcome({session: session.id, member: session.member, resumed, ack: session.in, ping_ms: 60_000, dead_ms: 120_000}));
    session.log = session.log.filter(({seq}) => seq > (resume?.ack ?? 0));
    for (const frame of session.log) this.#write(far, frame);
    if (resumed) this.#write(far, this.#snapshot(session));
  }

  #join(session, frame) {
    session.inRoom = true;
    this.#push(session, {type: 'joined', id: frame.id, room: frame.room, version: 1, member: session.member, joined: session.joined});
    this.#write(session.far, this.#snapshot(session));
    for (const other of this.#others(session)) {
      if (other.far) this.#write(other.far, {type: 'presence', room: frame.room, version: session.joined + 1, member: member(session)});
    }
  }

  #others(session) {
    return this.sessions.filter((other) => other !== session && other.inRoom);
  }

  #snapshot(session) {
    const members = this.sessions.filter(({inRoom}) => inRoom).map((other) => ({...member(other), polite: other.joined < session.joined}));
    return {type: 'room', room: 'r', version: this.sessions.length + 1, page: 1, last: true, members, state: []};
  }

  #relay(from, frame) {
    const to = this.sessions.find(({member, inRoom}) => member === frame.to && inRoom);
    if (!to) return frame.id && this.#push(from, {type: 'sent', id: frame.id, status: 'absent'});
    const pair = [from.id, to.id].sort().join();
    const way = `${from.id}>${to.id}`;
    const current = this.#generation.get(pair) ?? 0;
    const {gen} = frame;
    if (frame.type !== 'bye' && (frame.type === 'offer' ? gen <= current : gen < current)) {
      this.refused++;
      return this.#push(from, {type: 'error', id: frame.id, re: frame.seq, code: 'stale_generation', message: 'stale', temporary: false, gen: current});
    }
    this.#generation.set(pair, Math.max(current, gen));
    const passed = {type: frame.type, room: 'r', from: from.member, mid: frame.seq, gen, polite: to.joined > from.joined, data: frame.data};
    if (frame.id) this.#push(from, {type: 'sent', id: frame.id, status: to.far ? 'delivered' : 'stored'});
    if (frame.type === 'offer' || frame.type === 'answer') {
      this.#described.set(way, gen);
      this.#push(to, passed);
      const held = this.#held.get(way) ?? [];
      this.#held.delete(way);
      for (const early of held) if (early.gen === gen) this.#push(to, early);
    } else if (frame.type !== 'bye' && this.#described.get(way) !== gen) {
      this.#held.set(way, [...(this.#held.get(way) ?? []), passed]);
    } else this.#push(to, passed);
  }
}

function member({member, joined}) {
  return {member, subject: member, name: member, meta: {}, state: 'online', joined};
}
