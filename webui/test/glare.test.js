import assert from 'node:assert/strict';
import test, {afterEach} from 'node:test';
import {Signalbox} from '../client/signalbox.js';
import {FakeBox} from './fake/box.js';
import {connectionClass, Simulation} from './fake/connection.js';
import {seeded} from './fake/socket.js';

const RUNS = Number(process.env.GLARE_RUNS ?? 400);

const open = [];
afterEach(() => open.splice(0).forEach((client) => client.close()));

/** Two clients in one room of a simulated box, both joined. */
async function pair(sim) {
  const box = new FakeBox(sim);
  const clients = [];
  for (const name of ['early', 'late']) {
    const client = new Signalbox({url: 'ws://box', name, WebSocket: box.Socket, random: () => 0});
    open.push(client);
    client.connect();
    const joining = client.join('r');
    await sim.run();
    clients.push({client, room: await joining});
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  return {box, clients};
}

function watch(peer, failures) {
  peer.on('failure', (error) => failures.push(`${error.code}: ${error.message}`));
  return peer;
}

/** The peers agree on descriptions, on everything either side wants, and on candidates. */
function assertConverged(a, b, seed) {
  const [x, y] = [a.pc.facts, b.pc.facts];
  const at = `seed ${seed}: ${JSON.stringify([x, y])}`;
  assert.equal(x.state, 'stable', at);
  assert.equal(y.state, 'stable', at);
  assert.ok(x.allAgreed && y.allAgreed, at);
  assert.equal(x.local, y.remote, at);
  assert.equal(y.local, x.remote, at);
  for (const [mine, theirs, pc] of [[x, y, a.pc], [y, x, b.pc]]) {
    assert.equal(mine.remoteUfrag, theirs.ufrag, at);
    for (const n of [1, 2, 3]) assert.ok(pc.usable.has(`${theirs.ufrag}/${n}`), `${at}: candidate ${n} of ${theirs.ufrag} is missing`);
  }
}

test('offers that cross always converge, whatever the order of frames, steps and cuts', async () => {
  let glares = 0, refused = 0;
  for (let seed = 1; seed <= RUNS; seed++) {
    const sim = new Simulation(seeded(seed));
    const {box, clients} = await pair(sim);
    const [{room: early}, {room: late}] = clients;
    const RTCPeerConnection = connectionClass(sim);
    const failures = [];
    const peers = [
      watch(early.peer(late.me, {RTCPeerConnection}), failures),
      watch(late.peer(early.me, {RTCPeerConnection}), failures),
    ];
    for (const peer of peers) peer.on('step', ({text}) => { if (/gave way|dropped an offer/.test(text)) glares++; });
    const cuts = seed % 3 === 0;
    for (let change = 0; change < 2 + sim.pick(6); change++) {
      const peer = peers[sim.pick(2)];
      sim.later(() => (sim.chance(0.3) && peer.pc.localDescription ? peer.restartIce() : peer.pc.addTrack()));
      if (cuts && sim.chance(0.5)) sim.later(() => box.cut(box.sessions[sim.pick(2)]));
    }
    // A cut client comes back through a timer, which the simulation does not know of.
    do {
      await sim.run();
      if (cuts) await new Promise((resolve) => setTimeout(resolve, 3));
    } while (cuts && clients.some(({client}) => client.state !== 'open'));
    await sim.run();
    assert.deepEqual(failures, [], `seed ${seed}`);
    assertConverged(peers[0], peers[1], seed);
    refused += box.refused;
    open.splice(0).forEach((client) => client.close());
  }
  assert.ok(glares > RUNS / 4, `only ${glares} glares in ${RUNS} runs: the test tests nothing`);
  console.log(`${RUNS} runs, ${glares} glares, ${refused} frames refused as stale by the box`);
});

test('a client that lost count of the generations finds its way back', async () => {
  const sim = new Simulation(seeded(5));
  const {clients: [{room: early}, {room: late}]} = await pair(sim);
  const RTCPeerConnection = connectionClass(sim);
  const failures = [];
  const options = {RTCPeerConnection};
  const first = watch(early.peer(late.me, options), failures);
  const second = watch(late.peer(early.me, options), failures);
  for (let i = 0; i < 4; i++) {
    first.pc.addTrack();
    await sim.run();
  }
  // The late side forgets everything, as a page that was reloaded.
  second.close('test', false);
  late.peers.clear();
  first.close('test', false);
  early.load?.([]);
  late.load([[early.me, 0]]);
  const again = [watch(late.peer(early.me, options), failures), watch(early.peer(late.me, options), failures)];
  again[0].pc.addTrack();
  await sim.run();
  assertConverged(again[0], again[1], 5);
  assert.deepEqual(failures, []);
});

test('an incoming call waits until it is answered, and bye ends it on both sides', async () => {
  const sim = new Simulation(seeded(9));
  const {clients: [{room: early}, {room: late}]} = await pair(sim);
  const RTCPeerConnection = connectionClass(sim);
  const incoming = [];
  early.on('incoming', ({member}) => incoming.push(member));
  const calling = late.peer(early.me, {RTCPeerConnection});
  calling.pc.addTrack();
  await sim.run();
  assert.deepEqual(incoming, [late.me]);
  assert.equal(calling.facts.answered, false);
  const answering = early.peer(late.me, {RTCPeerConnection});
  answering.pc.addTrack();
  await sim.run();
  assertConverged(calling, answering, 9);
  const closed = [];
  calling.on('closed', ({reason}) => closed.push(`calling: ${reason}`));
  answering.on('closed', ({reason}) => closed.push(`answering: ${reason}`));
  answering.close();
  await sim.run();
  assert.deepEqual(closed, ['answering: closed', 'calling: bye']);
  assert.equal(early.peers.size + late.peers.size, 0);
});

test('both sides end the call and make another at once: there is always exactly one', async () => {
  for (let seed = 1; seed <= RUNS / 2; seed++) {
    const sim = new Simulation(seeded(seed));
    const {clients: [{room: early}, {room: late}]} = await pair(sim);
    const RTCPeerConnection = connectionClass(sim);
    const failures = [];
    const call = (room, other) => {
      const peer = room.peer(other.me, {RTCPeerConnection});
      if (peer.pc.signalingState === 'stable' && !peer.pc.localDescription) watch(peer, failures).pc.addTrack();
      return peer;
    };
    early.on('incoming', () => call(early, late));
    late.on('incoming', () => call(late, early));
    call(late, early);
    await sim.run();
    for (let again = 0; again < 2; again++) {
      for (const [room, other] of [[early, late], [late, early]]) {
        sim.later(() => {
          room.peers.get(other.me)?.close('other settings');
          call(room, other);
        });
      }
      await sim.run();
      const [x, y] = [early.peers.get(late.me), late.peers.get(early.me)];
      assert.ok(x && y, `seed ${seed}: ${x ? 'the late' : 'the early'} side has no call`);
      assertConverged(x, y, seed);
    }
    assert.deepEqual(failures, [], `seed ${seed}`);
    open.splice(0).forEach((client) => client.close());
  }
});

test('a new connection on the other side is a new call, not a fault', async () => {
  const sim = new Simulation(seeded(11));
  const {clients: [{room: early}, {room: late}]} = await pair(sim);
  const RTCPeerConnection = connectionClass(sim);
  const options = {RTCPeerConnection};
  const old = early.peer(late.me, options);
  const gone = late.peer(early.me, options);
  gone.pc.addTrack();
  await sim.run();
  gone.close('crashed', false); // without a bye
  const incoming = [];
  early.on('incoming', ({member}) => incoming.push(member));
  const fresh = late.peer(early.me, options);
  fresh.pc.addTrack();
  await sim.run();
  assert.equal(old.status, 'closed');
  assert.deepEqual(incoming, [late.me]);
  const answering = early.peer(late.me, options);
  await sim.run();
  assertConverged(fresh, answering, 11);
});

test('without WebRTC, signaling still works and a call says what is missing', async () => {
  const sim = new Simulation(seeded(13));
  const {clients: [{room: early}, {room: late}]} = await pair(sim);
  assert.throws(() => early.peer(late.me), {code: 'no_webrtc'});
});
