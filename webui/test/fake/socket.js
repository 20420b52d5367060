import {afterEach} from 'node:test';
import {Signalbox} from '../../client/signalbox.js';

/**
 * Sockets without a network. `Socket` is what the client gets in place of
 * WebSocket; `next()` waits for the client to open one and returns its far end.
 */
export function sockets() {
  const opened = [];
  const waiting = [];
  class Socket {
    readyState = 0;
    bufferedAmount = 0;
    constructor(url, protocol) {
      Object.assign(this, {url, protocol});
      this.far = new FarEnd(this);
      opened.push(this.far);
      waiting.shift()?.();
    }
    send(text) {
      if (this.readyState !== 1) throw new Error('the socket is not open');
      this.far.take(JSON.parse(text));
    }
    close(code) {
      this.far.closedWith = code;
      this.readyState = 3;
      this.far.onclose?.(code);
    }
  }
  const next = async () => {
    if (opened.length === 0) await within(2000, 'the client to connect', new Promise((resolve) => waiting.push(resolve)));
    const far = opened.shift();
    await Promise.resolve();
    return far;
  };
  return {Socket, next, opened};
}

/** The box's end of one socket. */
export class FarEnd {
  sent = []; // everything the client sent here
  #unread = [];
  #waiting = [];

  constructor(socket) {
    this.socket = socket;
  }

  take(frame) {
    this.sent.push(frame);
    if (this.onframe) return this.onframe(frame);
    this.#unread.push(frame);
    this.#waiting.splice(0).forEach((wake) => wake());
  }

  /** The next frame of that type; frames of other types before it are passed over. */
  async expect(type, ms = 2000) {
    const deadline = Date.now() + ms;
    for (;;) {
      const at = this.#unread.findIndex((frame) => frame.type === type);
      if (at >= 0) return this.#unread.splice(0, at + 1).at(-1);
      await within(deadline - Date.now(), `a ${type} frame (got ${this.sent.map((frame) => frame.type)})`,
        new Promise((resolve) => this.#waiting.push(resolve)));
    }
  }

  open() {
    this.socket.readyState = 1;
    this.socket.onopen?.();
  }

  send(frame) {
    this.socket.onmessage?.({data: JSON.stringify(frame)});
  }

  raw(data) {
    this.socket.onmessage?.({data});
  }

  /** The socket breaks, as when a cable is pulled: 1006. */
  cut(code = 1006) {
    this.socket.readyState = 3;
    this.socket.onclose?.({code});
  }

  /** Opens, reads hello, answers welcome. Returns the hello. */
  async welcome(over = {}) {
    this.open();
    const hello = await this.expect('hello');
    this.send(welcome(over));
    return hello;
  }
}

export function welcome(over = {}) {
  return {
    type: 'welcome', session: 's_1', member: 'm_me', resumed: false, resume: 'r1', epoch: 1, ack: 0, time: Date.now(),
    ping_ms: 10_000, dead_ms: 20_000, resume_ms: 60_000,
    identity: {subject: 'test', rooms: ['*'], rights: ['join', 'send']},
    limits: {frame_bytes: 65536, unacked_frames: 256, unacked_bytes: 262144, rooms: 16},
    ice: {servers: [{urls: ['stun:10.0.0.5:3478']}]},
    ...over,
  };
}

// A test that fails half way must not keep the process alive with its timers.
const boxes = [];
afterEach(() => boxes.splice(0).forEach((box) => box.close()));

/** A connected client, its fake sockets, and the far end of the first one. */
export async function connected(options = {}, over = {}) {
  const net = sockets();
  const box = new Signalbox({url: 'ws://box/', token: 'T', WebSocket: net.Socket, random: () => 0, ...options});
  boxes.push(box);
  const connecting = box.connect();
  const far = await net.next();
  await far.welcome(over);
  await connecting;
  return {box, net, far};
}

/** Answers a join and sends its snapshot. `from` is the first seq to use. */
export async function joined(far, seq, members = [], over = {}) {
  const join = await far.expect('join');
  const me = {member: over.member ?? 'm_me', subject: 'test', name: 'me', state: 'online', joined: 9};
  far.send({type: 'joined', seq, ack: join.seq, id: join.id, room: join.room, version: 5, member: me.member, joined: 9, capacity: 16, count: members.length + 1, ...over});
  far.send({type: 'room', room: join.room, version: 5, page: 1, last: true, members: [...members, me]});
  return join;
}

export function within(ms, what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited in vain for ${what}`)), Math.max(0, ms));
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** The detail of the next event of that type. */
export function event(target, type, ms = 2000) {
  return within(ms, `event ${type}`, new Promise((resolve) => target.on(type, resolve, {once: true})));
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** A repeatable source of numbers in [0, 1) (mulberry32). */
export function seeded(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
