/**
 * An RTCPeerConnection without media: the state machine of descriptions,
 * roll-back, negotiationneeded and trickled candidates, and strict about it.
 * Every step takes a turn of the simulation, so that anything may happen in between.
 */
export function connectionClass(sim) {
  let count = 0;
  return class FakeConnection extends EventTarget {
    signalingState = 'stable';
    connectionState = 'new';
    iceConnectionState = 'new';
    iceGatheringState = 'new';
    localDescription = null;
    remoteDescription = null;
    onnegotiationneeded = null;
    onicecandidate = null;

    #id = `${++count}`;
    #tracks = 0;        // what this side wants to send
    #agreed = 0;        // of that, what the stable descriptions hold
    #restart = false;
    #epoch = 0;         // of ICE credentials
    #stable = {local: null, remote: null, agreed: 0, epoch: 0};
    #asked = false;
    #found = new Map(); // candidates by their user fragment
    usable = new Set(); // remote candidates taken

    constructor(configuration) {
      super();
      this.configuration = configuration;
    }

    addTrack() {
      this.#tracks++;
      this.#needed();
    }

    restartIce() {
      this.#restart = true;
      this.#needed();
    }

    setConfiguration(configuration) {
      this.configuration = configuration;
    }

    #needed() {
      if (this.#asked || this.signalingState === 'closed') return;
      this.#asked = true;
      sim.later(() => {
        this.#asked = false;
        if (this.signalingState === 'stable' && (this.#tracks > this.#agreed || this.#restart)) this.onnegotiationneeded?.();
      });
    }

    // As in a browser, a description holds the candidates that were found by then.
    #describe(type) {
      const found = (this.#found.get(`${this.#id}.${this.#epoch}`) ?? []).map((name) => `a=candidate:${name} typ host\r\n`).join('');
      return {type, sdp: `${found}o=- ${this.#id} ${++count}\r\na=ice-ufrag:${this.#id}.${this.#epoch}\r\na=tracks:${this.#tracks}\r\na=for:${type === 'answer' ? line(this.remoteDescription, 'o') : ''}\r\n`};
    }

    async setLocalDescription(description) {
      await sim.turn();
      if (this.signalingState === 'closed') throw new Error('closed');
      if (description?.type === 'rollback') return this.#rollback();
      if (this.signalingState === 'stable') {
        // Rolling back the first offer takes its transports away; the next one has others.
        if (this.#restart || !this.#stable.local) this.#epoch++;
        this.#restart = false;
        this.localDescription = this.#describe('offer');
        this.signalingState = 'have-local-offer';
        this.offered = this.#tracks;
      } else if (this.signalingState === 'have-remote-offer') {
        if (this.#epoch === 0 || this.remoteRestarted) this.#epoch++;
        this.localDescription = this.#describe('answer');
        this.#agreed = this.#tracks;
        this.#settle();
      } else throw new Error(`setLocalDescription in ${this.signalingState}`);
      this.#gather();
    }

    async setRemoteDescription({type, sdp}) {
      await sim.turn();
      if (this.signalingState === 'closed') throw new Error('closed');
      for (const [, name] of sdp.matchAll(/^a=candidate:(\S+)/gm)) this.usable.add(name);
      if (type === 'offer') {
        if (this.signalingState !== 'stable') throw new Error(`an offer in ${this.signalingState}`);
        this.remoteRestarted = this.remoteDescription !== null && line(this.remoteDescription, 'a=ice-ufrag') !== line({sdp}, 'a=ice-ufrag');
        this.remoteDescription = {type, sdp};
        this.signalingState = 'have-remote-offer';
        return;
      }
      if (this.signalingState !== 'have-local-offer') throw new Error(`an answer in ${this.signalingState}`);
      if (line({sdp}, 'a=for') !== line(this.localDescription, 'o')) throw new Error('an answer to another offer');
      this.remoteDescription = {type, sdp};
      this.#agreed = this.offered;
      this.#settle();
    }

    #settle() {
      this.signalingState = 'stable';
      this.#stable = {local: this.localDescription, remote: this.remoteDescription, agreed: this.#agreed, epoch: this.#epoch};
      this.#needed();
    }

    #rollback() {
      if (this.signalingState !== 'have-local-offer') throw new Error(`roll-back in ${this.signalingState}`);
      ({local: this.localDescription, remote: this.remoteDescription, agreed: this.#agreed} = this.#stable);
      if (this.#epoch !== this.#stable.epoch) this.#restart = this.#stable.epoch > 0;
      this.signalingState = 'stable';
      this.#needed();
    }

    #gather() {
      const ufrag = line(this.localDescription, 'a=ice-ufrag');
      if (this.gathered === ufrag) return;
      this.gathered = ufrag;
      for (const n of [1, 2, 3]) {
        sim.later(() => {
          if (this.signalingState === 'closed') return;
          this.#found.set(ufrag, [...(this.#found.get(ufrag) ?? []), `${ufrag}/${n}`]);
          this.onicecandidate?.({candidate: {candidate: `${ufrag}/${n}`, usernameFragment: ufrag}});
        });
      }
      sim.later(() => this.onicecandidate?.({candidate: null}));
    }

    async addIceCandidate(candidate) {
      await sim.turn();
      if (!this.remoteDescription) throw new Error('a candidate before any description');
      if (!candidate) return;
      const ufrag = line(this.remoteDescription, 'a=ice-ufrag');
      if (candidate.usernameFragment !== ufrag) throw new Error(`candidate of ${candidate.usernameFragment}, description of ${ufrag}`);
      this.usable.add(candidate.candidate);
    }

    close() {
      this.signalingState = 'closed';
    }

    /** What the test looks at when nothing moves any more. */
    get facts() {
      return {
        state: this.signalingState,
        allAgreed: this.#agreed === this.#tracks && !this.#restart,
        local: line(this.localDescription, 'o'),
        remote: line(this.remoteDescription, 'o'),
        ufrag: line(this.localDescription, 'a=ice-ufrag'),
        remoteUfrag: line(this.remoteDescription, 'a=ice-ufrag'),
      };
    }
  };
}

function line(description, key) {
  return new RegExp(`^${key}[=:](.*)$`, 'm').exec(description?.sdp ?? '')?.[1].trim();
}

/** Things happen one at a time, in an order drawn by the seed; what was queued in one lane stays in order. */
export class Simulation {
  #tasks = [];
  #random;

  constructor(random) {
    this.#random = random;
  }

  later(task, lane) {
    this.#tasks.push({task, lane});
  }

  /** Resolves some steps later. */
  turn() {
    return new Promise((resolve) => this.later(resolve));
  }

  chance(p) {
    return this.#random() < p;
  }

  pick(n) {
    return Math.floor(this.#random() * n);
  }

  /** Runs until nothing is left to happen. */
  async run(max = 20_000) {
    for (let steps = 0; ; steps++) {
      await new Promise(setImmediate);
      if (this.#tasks.length === 0) return steps;
      if (steps > max) throw new Error(`still busy after ${max} steps`);
      const drawn = this.#tasks[this.pick(this.#tasks.length)];
      const first = drawn.lane === undefined ? drawn : this.#tasks.find(({lane}) => lane === drawn.lane);
      this.#tasks.splice(this.#tasks.indexOf(first), 1);
      first.task();
    }
  }
}
