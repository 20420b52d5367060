import {diagnose, firstFrame, Rates, relayTransport, Signalbox} from '../../client/signalbox.js';
import {forgetToken, redeem, rememberName, rememberRoom, tokenSource} from './entry.js';
import {openSource} from './media.js';
import {addressWords, connectionWords, pathWords} from './words.js';

/** As many as a test call shows. */
const MAX_PEERS = 4;
const STATS_MS = 1000;
/** Longer than this without a connection, and the page looks for the reason. */
const PATIENCE_MS = 5000;
/** How long the media of a lost session is kept while its successor connects. */
const ORPHAN_MS = 20_000;
const MAX_LOG = 200;

/**
 * @typedef {object} Party  one other side, as the page shows it
 * @property {string} member
 * @property {string} name
 * @property {import('../../client/peer.js').Peer} peer
 * @property {MediaStream} stream
 * @property {string} connection
 * @property {import('../../client/stats.js').CallStats | undefined} stats
 * @property {{inbound: number, outbound: number}} rates
 * @property {number | undefined} firstFrameMs
 * @property {{code: string, text: string}[]} reasons  why it does not connect
 * @property {boolean} orphan
 * @property {() => Promise<void>} [measure]
 */

/** @typedef {{room: string, name: string, source: 'camera' | 'picture', invite?: string, relayOnly: boolean, transport: 'any' | 'udp' | 'tcp' | 'tls'}} Wanted */

/** A test call: everything but what it looks like. `changed` is called after every change. */
export class CallController {
  /** @type {'idle' | 'joining' | 'joined' | 'left' | 'failed'} */
  phase = 'idle';
  /** @type {Party[]} */
  parties = [];
  /** @type {{at: Date, text: string}[]} */
  log = [];
  /** @type {{code: string, text: string} | undefined} why there is no call */
  error;
  /** @type {import('./media.js').Source | undefined} */
  source;
  /** @type {Wanted | undefined} */
  wanted;
  /** @type {Signalbox | undefined} */
  box;
  /** @type {import('../../client/room.js').Room | undefined} */
  room;
  resumes = 0;
  resets = 0;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #timer;

  /** @param {() => void} changed */
  constructor(changed) {
    this.changed = changed;
  }

  /** @param {Wanted} wanted */
  async join(wanted) {
    this.wanted = wanted;
    this.phase = 'joining';
    this.error = undefined;
    this.changed();
    try {
      if (wanted.invite) {
        await redeem(wanted.invite);
        wanted.invite = undefined; // it works once
        this.say('the invite is redeemed; this device has a token of its own');
      }
      const token = await tokenSource(wanted.room);
      this.source ??= await openSource(wanted.source, wanted.name);
      if (this.source.why) this.say(this.source.why);
      await this.#enter(wanted, token);
    } catch (fault) {
      this.#fail(/** @type {any} */ (fault));
    }
    this.changed();
  }

  /** @param {Wanted} wanted @param {(() => Promise<string>) | undefined} token */
  async #enter(wanted, token) {
    const box = (this.box = new Signalbox({token, name: wanted.name}));
    box.on('suspended', ({text, retryInMs}) => this.say(`box: ${text}; next attempt in ${(retryInMs / 1000).toFixed(1)} s. Calls go on meanwhile.`));
    box.on('resumed', () => { this.resumes++; this.say('box: connected again, nothing was lost'); });
    box.on('reset', ({reason}) => { this.resets++; this.say(`box: a new session began (${reason}); joining again`); });
    box.on('closed', (error) => this.phase === 'left' || this.#fail(error));
    box.on('error', (error) => this.say(`box: ${error.message}`));
    this.say('connecting to the box');
    await box.connect();
    const room = (this.room = await box.join(wanted.room, {name: wanted.name, meta: {kind: 'call'}}));
    rememberRoom(wanted.room);
    rememberName(wanted.name);
    this.phase = 'joined';
    this.say(`in room ${room.name} with ${room.others.length === 0 ? 'nobody yet' : room.others.map(({name}) => name).join(', ')}`);
    room.on('join', (member) => { this.say(`${member.name} came in`); this.#callEarlier(); });
    room.on('change', ({member, before}) => {
      if (member.state !== before.state) this.say(`${member.name} ${member.state === 'suspended' ? 'lost the box; its media may go on' : 'is back'}`);
      this.#callEarlier();
    });
    room.on('leave', ({member, reason}) => this.say(`${member.name} left (${reason})`));
    room.on('rejoined', () => this.#callEarlier());
    room.on('incoming', ({member}) => this.#open(member, 'answering'));
    room.on('lost', (error) => this.#fail(error));
    this.#timer = setInterval(() => this.#measure(), STATS_MS);
    this.#callEarlier();
  }

  /** The later one calls: so there is one offer, and who was there first only answers. */
  #callEarlier() {
    for (const member of this.room?.others ?? []) {
      if (member.polite && member.state === 'online' && !this.room?.peers.has(member.id)) this.#open(member.id, 'calling');
    }
    this.changed();
  }

  /** @param {string} id @param {string} doing */
  #open(id, doing) {
    const {room, wanted, source} = this;
    if (!room || !wanted || this.parties.filter(({orphan}) => !orphan).length >= MAX_PEERS) return;
    const name = room.members.get(id)?.name ?? 'somebody';
    const peer = room.peer(id, {iceTransportPolicy: wanted.relayOnly ? 'relay' : 'all', relayTransport: wanted.transport});
    /** @type {Party} */
    const party = {member: id, name, peer, stream: new MediaStream(), connection: 'new', stats: undefined, rates: {inbound: 0, outbound: 0}, firstFrameMs: undefined, reasons: [], orphan: false};
    this.parties = [...this.parties, party];
    this.say(`${doing} ${name}`);
    for (const track of source?.stream.getTracks() ?? []) peer.pc.addTrack(track, /** @type {any} */ (source).stream);
    const rates = new Rates();
    party.measure = async () => {
      party.stats = await peer.stats();
      party.rates = rates.next(party.stats);
    };
    peer.pc.addEventListener('track', ({track}) => { party.stream.addTrack(track); this.changed(); });
    peer.on('step', ({text}) => this.say(`${name}: ${text}`));
    peer.on('state', ({connection}) => this.#state(party, connection));
    peer.on('failure', (error) => { this.say(`${name}: ${error.message}`); this.#diagnose(party); });
    peer.on('orphaned', () => { party.orphan = true; setTimeout(() => peer.close('replaced', false), ORPHAN_MS); });
    peer.on('closed', () => { this.parties = this.parties.filter((other) => other !== party); this.changed(); });
    this.changed();
  }

  /** @param {Party} party @param {string} connection */
  #state(party, connection) {
    if (party.connection === connection) return;
    party.connection = connection;
    this.say(`${party.name}: ${connectionWords[connection] ?? connection}`);
    if (connection === 'connected') {
      for (const old of this.parties.filter(({orphan}) => orphan)) old.peer.close('replaced', false);
      party.measure?.().then(() => {
        const pair = party.stats?.pair;
        if (pair) this.say(`${party.name}: ${pathWords(pair).toLowerCase()}, ${addressWords(pair.local)} to ${addressWords(pair.remote)}`);
      });
    }
    this.#diagnose(party);
    this.changed();
  }

  /** The first picture is on the screen. @param {Party} party @param {HTMLVideoElement} video */
  async watch(party, video) {
    party.firstFrameMs ??= await firstFrame(party.peer, video);
    this.changed();
  }

  async #measure() {
    await Promise.all(this.parties.map(async (party) => {
      await party.measure?.().catch(() => {});
      this.#diagnose(party);
    }));
    this.changed();
  }

  /** @param {Party} party */
  #diagnose(party) {
    const waited = performance.now() - (party.peer.startedAt ?? performance.now());
    const wanting = party.connection === 'failed' || (party.connection !== 'connected' && waited > PATIENCE_MS);
    party.reasons = wanting && !party.orphan ? diagnose({
      facts: party.peer.facts,
      connection: party.connection,
      relayOnly: this.wanted?.relayOnly === true,
      relayOffered: this.relayOffered(),
      online: this.box?.state === 'open',
      present: this.room?.members.get(party.member)?.state === 'online',
    }) : [];
  }

  /** Whether the box hands out a relay that is reached the way that was chosen. */
  relayOffered() {
    const ways = (this.box?.ice.servers ?? []).flatMap(({urls}) => [urls].flat().map(relayTransport));
    return this.wanted?.transport === 'any' ? ways.some(Boolean) : ways.includes(this.wanted?.transport);
  }

  /**
   * Other relay settings, also in the middle of a call. That takes a connection
   * of its own: browsers keep using the addresses an old one has found.
   * @param {Partial<Wanted>} change
   */
  change(change) {
    if (!this.wanted) return;
    Object.assign(this.wanted, change);
    for (const {member, peer} of this.parties.filter(({orphan}) => !orphan)) {
      peer.close('other settings');
      this.#open(member, 'calling again');
    }
    this.changed();
  }

  /** @param {'audio' | 'video'} kind @param {boolean} enabled */
  enable(kind, enabled) {
    for (const track of this.source?.stream.getTracks() ?? []) if (track.kind === kind) track.enabled = enabled;
    this.changed();
  }

  leave() {
    this.phase = 'left';
    this.#stop();
    this.room?.leave().catch(() => {});
    this.box?.close();
    this.say('left the room');
  }

  /** @param {{code?: string, message: string}} fault */
  #fail(fault) {
    this.phase = 'failed';
    if (fault.code?.startsWith('token_')) forgetToken();
    this.error = {code: fault.code ?? 'unknown', text: fault.message};
    this.#stop();
    this.box?.close();
    this.say(fault.message);
  }

  #stop() {
    clearInterval(this.#timer);
    for (const {peer} of [...this.parties]) peer.close('left');
    this.source?.stop();
    this.source = undefined;
  }

  /** @param {string} text */
  say(text) {
    this.log = [...this.log.slice(1 - MAX_LOG), {at: new Date(), text}];
    this.changed();
  }

  /** What a program that drives this page may read, at window.signalboxCall. */
  snapshot() {
    return {
      phase: this.phase,
      error: this.error,
      box: this.box?.state ?? 'idle',
      session: this.box?.welcome?.session,
      epoch: this.box?.welcome?.epoch,
      resumes: this.resumes,
      resets: this.resets,
      room: this.room?.name,
      me: this.room?.me,
      members: this.room ? [...this.room.members.values()].map(({id, name, state}) => ({id, name, state})) : [],
      source: this.source && {kind: this.source.kind, why: this.source.why},
      relayOnly: this.wanted?.relayOnly,
      transport: this.wanted?.transport,
      peers: this.parties.map(({member, name, connection, stats, rates, firstFrameMs, reasons, orphan, peer}) => (
        {member, name, connection, stats, rates, firstFrameMs, reasons, orphan, facts: peer.facts})),
      log: this.log.map(({at, text}) => `${at.toISOString()} ${text}`),
    };
  }
}
