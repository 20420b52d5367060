import assert from 'node:assert/strict';
import test from 'node:test';
import {Signalbox} from '../client/signalbox.js';
import {connected, event, joined, sleep, sockets, welcome} from './fake/socket.js';

test('hello is the first frame, on the right path and subprotocol, without a token in the URL', async () => {
  const net = sockets();
  const box = new Signalbox({url: 'https://signalbox.local:8443', token: 'JWT', name: 'Camera 7', WebSocket: net.Socket});
  const connecting = box.connect();
  const far = await net.next();
  assert.equal(far.socket.url, 'wss://signalbox.local:8443/v1/signal');
  assert.equal(far.socket.protocol, 'signalbox.v1.json');
  const hello = await far.welcome();
  assert.deepEqual([hello.type, hello.token, hello.name, hello.resume], ['hello', 'JWT', 'Camera 7', undefined]);
  assert.equal((await connecting).session, 's_1');
  assert.equal(box.state, 'open');
  box.close();
  assert.equal(far.closedWith, 1000);
});

test('a cut resumes with the rotated token and sends again in order, with the old numbers', async () => {
  const {box, net, far} = await connected();
  const joining = box.join('line-3');
  await joined(far, 1);
  const room = await joining;
  const sends = [1, 2, 3].map((data) => room.send(data));
  await far.expect('message');
  far.send({type: 'ack', ack: 2}); // join and the first message
  const suspended = event(box, 'suspended');
  far.cut();
  assert.equal((await suspended).code, 1006);
  assert.equal(box.state, 'suspended');
  sends.push(room.send(4)); // while there is no socket

  const again = await net.next();
  const hello = await again.welcome({resumed: true, resume: 'r2', ack: 3});
  assert.deepEqual(hello.resume, {session: 's_1', token: 'r1', ack: 1});
  const replayed = [await again.expect('message'), await again.expect('message')];
  assert.deepEqual(replayed.map(({seq, data}) => [seq, data]), [[4, 3], [5, 4]]);
  again.send({type: 'sent', seq: 2, ack: 5, id: 2, status: 'stored', count: 1});
  for (const [i, id] of [[3, 3], [4, 4], [5, 5]]) again.send({type: 'sent', seq: i, id, status: 'stored', count: 1});
  assert.deepEqual((await Promise.all(sends)).map(({status}) => status), ['stored', 'stored', 'stored', 'stored']);
  assert.equal(box.pending, 0);

  again.cut();
  assert.equal((await (await net.next()).welcome({resumed: true, resume: 'r3', ack: 5})).resume.token, 'r2');
  box.close();
});

test('what the box replays is not delivered twice', async () => {
  const {box, net, far} = await connected();
  const joining = box.join('line-3');
  await joined(far, 1);
  const room = await joining;
  const got = [];
  room.on('message', ({data}) => got.push(data));
  await sleep(5);
  const message = (seq, mid, data) => ({type: 'message', seq, room: 'line-3', from: 'm_a', mid, data});
  far.send(message(2, 10, 'a'));
  far.send(message(3, 11, 'b'));
  far.cut();
  const again = await net.next();
  assert.equal((await again.welcome({resumed: true, ack: 1})).resume.ack, 3);
  again.send(message(3, 11, 'b')); // replayed by seq
  again.send(message(4, 10, 'a')); // after a crash of the box: new seq, same mid
  again.send(message(5, 12, 'c'));
  assert.deepEqual(got, ['a', 'b', 'c']);
  box.close();
});

test('a gap in the box\'s numbers closes with 4006 and resumes; three in a row begin anew', async () => {
  const {box, net, far} = await connected();
  let at = far;
  for (const want of ['s_1', 's_1', undefined]) {
    at.send({type: 'message', seq: 7, room: 'x', from: 'm', mid: 1, data: 1});
    assert.equal(at.closedWith, 4006);
    at = await net.next();
    assert.equal((await at.welcome({resumed: want !== undefined, session: want ?? 's_2'})).resume?.session, want);
  }
  box.close();
});

test('a lost session joins its rooms again, sends what is safe, and says what is not', async () => {
  const {box, net, far} = await connected();
  const joining = box.join('line-3', {meta: {kind: 'panel'}});
  await joined(far, 1, [{member: 'm_a', subject: 'a', name: 'A', state: 'online', joined: 1, polite: true}]);
  const room = await joining;
  const keyed = room.send('keyed', {key: 'k1'});
  const unsure = room.send('sent once, no key');
  await far.expect('message');
  await far.expect('message');
  far.cut();
  const waiting = room.send('never on a wire');
  const reset = event(box, 'reset');
  const again = await net.next();
  await again.welcome({session: 's_2', member: 'm_new', resumed: false, reason: 'expired'});
  assert.deepEqual(await reset, {reason: 'expired'});
  await assert.rejects(unsure, {code: 'session_reset', temporary: true});
  const join = await joined(again, 1, [{member: 'm_b', subject: 'b', name: 'B', state: 'online', joined: 2, polite: true}], {member: 'm_new'});
  assert.deepEqual([join.seq, join.meta], [1, {kind: 'panel'}]);
  const sent = [await again.expect('message'), await again.expect('message')];
  assert.deepEqual(sent.map(({seq, data, key}) => [seq, data, key]), [[2, 'keyed', 'k1'], [3, 'never on a wire', undefined]]);
  sent.forEach(({id}, i) => again.send({type: 'sent', seq: 2 + i, id, status: 'stored', count: 1}));
  await Promise.all([keyed, waiting]);
  assert.deepEqual(room.others.map(({id}) => id), ['m_b']);
  assert.equal(room.me, 'm_new');
  box.close();
});

test('received frames are acknowledged within 200 ms, and after 32 at once', async () => {
  const {box, far} = await connected();
  const message = (seq) => far.send({type: 'message', seq, room: 'x', from: 'm_a', mid: seq, data: 1});
  const started = Date.now();
  message(1);
  assert.equal((await far.expect('ack')).ack, 1);
  assert.ok(Date.now() - started <= 200, `${Date.now() - started} ms`);
  for (let seq = 2; seq <= 33; seq++) message(seq);
  assert.equal(far.sent.at(-1).ack, 33, 'at once');
  message(34);
  box.join('line-3').catch(() => {});
  assert.equal((await far.expect('join')).ack, 34, 'on any frame that goes out');
  box.close();
});

test('a ping is answered at once, and a silent box is given up', async () => {
  const {box, net, far} = await connected({}, {ping_ms: 40, dead_ms: 120});
  far.send({type: 'ping', t: 17});
  assert.deepEqual(far.sent.at(-1), {type: 'pong', t: 17});
  const down = event(box, 'suspended');
  assert.equal((await down).code, 4002);
  assert.ok(far.sent.some(({type}) => type === 'ping'), 'it asked before it gave up');
  await (await net.next()).welcome({resumed: true});
  box.close();
});

test('a socket that never opens is given up after openMs', async () => {
  const net = sockets();
  const box = new Signalbox({url: 'ws://box', WebSocket: net.Socket, openMs: 30});
  const connecting = box.connect();
  await net.next();
  await (await net.next()).welcome();
  await connecting;
  box.close();
});

test('close codes decide: terminal ones end it with the reason the box gave', async () => {
  const {box, far} = await connected();
  const joining = box.join('line-3');
  await far.expect('join');
  const closed = event(box, 'closed');
  far.send({type: 'closing', code: 4502, error: 'token_revoked', message: 'the token was revoked', temporary: false});
  far.cut(1006); // the code itself got lost
  assert.deepEqual([(await closed).code, (await closed).message], ['token_revoked', 'the token was revoked']);
  await assert.rejects(joining, {code: 'token_revoked'});
  assert.equal(box.state, 'closed');
  await assert.rejects(box.join('again'), {code: 'closed'});
});

test('a restart of the box is waited for as long as it asks', async () => {
  const {box, far} = await connected();
  const suspended = event(box, 'suspended');
  far.send({type: 'closing', code: 1012, message: 'restarting', temporary: true, retry_after_ms: 4321});
  far.cut(1012);
  assert.deepEqual(await suspended, {code: 1012, name: 'restart', text: 'restarting', retryInMs: 4321});
  box.close();
});

test('an expired token is replaced, once, and the session resumes', async () => {
  let asked = 0;
  const {box, net, far} = await connected({token: async () => `T${++asked}`});
  far.cut(4007);
  const again = await net.next();
  assert.equal((await again.welcome({resumed: true})).token, 'T2');
  again.cut(4007);
  const third = await net.next();
  third.open();
  assert.equal((await third.expect('hello')).token, 'T3');
  const closed = event(box, 'closed');
  third.cut(4007); // the fresh one too: clocks disagree
  assert.equal((await closed).code, 'token_expired');
});

test('before it expires the token is refreshed in place', async () => {
  let asked = 0;
  const {box, far} = await connected({token: () => `T${++asked}`});
  far.send({type: 'auth.expiring', expires: Date.now() + 60_000});
  const refresh = await far.expect('refresh');
  assert.equal(refresh.token, 'T2');
  assert.equal(refresh.seq, undefined);
  far.send({type: 'refreshed', id: refresh.id, expires: Date.now() + 3_600_000});
  box.close();

  const fixed = await connected();
  const expiring = event(fixed.box, 'expiring');
  fixed.far.send({type: 'auth.expiring', expires: 5});
  assert.deepEqual(await expiring, {expires: 5});
  fixed.box.setToken('T9');
  assert.equal((await fixed.far.expect('refresh')).token, 'T9');
  fixed.box.close();
});

test('news of the network collapse the back-off', async () => {
  const {box, net, far} = await connected({random: () => 0.999});
  far.cut();
  (await net.next()).cut();
  (await net.next()).cut(); // the next wait is up to 1 s
  const started = Date.now();
  box.networkChanged();
  const again = await net.next();
  assert.ok(Date.now() - started < 100);
  await again.welcome({resumed: true});
  box.networkChanged();
  await again.expect('network-changed');
  await again.expect('ping');
  box.close();
});

test('the browser\'s own events do the same: online, another network, a page that comes to the front', async () => {
  const [page, connection, document] = [new EventTarget(), new EventTarget(), new EventTarget()];
  const put = (/** @type {any} */ values) => {
    const before = Object.fromEntries(Object.keys(values).map((key) => [key, Object.getOwnPropertyDescriptor(globalThis, key)]));
    for (const [key, value] of Object.entries(values)) Object.defineProperty(globalThis, key, {value, configurable: true, writable: true});
    return () => Object.entries(before).forEach(([key, old]) => (old ? Object.defineProperty(globalThis, key, old) : delete globalThis[key]));
  };
  const restore = put({addEventListener: page.addEventListener.bind(page), navigator: {connection}, document: Object.assign(document, {visibilityState: 'hidden'})});
  try {
    const {box, net, far} = await connected({random: () => 0.999});
    connection.dispatchEvent(new Event('change'));
    await far.expect('network-changed');
    document.dispatchEvent(new Event('visibilitychange'));
    assert.equal(far.sent.filter(({type}) => type === 'ping').length, 1, 'going to the back is no news');
    document.visibilityState = 'visible';
    document.dispatchEvent(new Event('visibilitychange'));
    assert.equal(far.sent.filter(({type}) => type === 'ping').length, 2, 'coming to the front asks for life');
    far.cut();
    (await net.next()).cut();
    const started = Date.now();
    page.dispatchEvent(new Event('online'));
    await (await net.next()).welcome({resumed: true});
    assert.ok(Date.now() - started < 100);
    box.close();
    connection.dispatchEvent(new Event('change'));
    assert.equal(box.state, 'closed');
  } finally {
    restore();
  }
});

test('renewed ICE servers arrive without asking', async () => {
  const {box, far} = await connected();
  assert.equal(box.ice.servers[0].urls[0], 'stun:10.0.0.5:3478');
  const ice = event(box, 'ice');
  far.send({type: 'ice', servers: [{urls: ['turn:x'], username: 'u', credential: 'c'}], expires: 9});
  assert.deepEqual(await ice, {servers: [{urls: ['turn:x'], username: 'u', credential: 'c'}], expires: 9});
  box.close();
});

test('what is no frame from the box ends the socket for good', async () => {
  const {box, far} = await connected();
  const closed = event(box, 'closed');
  far.raw('{"type":');
  assert.equal((await closed).code, 'bad_frame');
  assert.equal(box.state, 'closed');
});

test('unknown frame types are ignored', async () => {
  const {box, far} = await connected();
  far.send({type: 'tomorrow', seq: 1});
  assert.equal(box.state, 'open');
  assert.equal((await far.expect('ack')).ack, 1);
  box.close();
});

test('a page that reloads goes on with the session, and a copy of its tab does not', async () => {
  const kept = new Map();
  const storage = {getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value), removeItem: (key) => kept.delete(key)};
  const {box, far} = await connected({storage});
  const joining = box.join('line-3');
  await joined(far, 1);
  const room = await joining;
  room.send('on its way').catch(() => {});
  await far.expect('message');
  box.leavePage();
  assert.ok(far.closedWith !== 1000, 'the session is left, not ended');

  const net = sockets();
  const later = new Signalbox({url: 'ws://box/', token: 'T', WebSocket: net.Socket, storage});
  const connecting = later.connect();
  assert.equal(kept.size, 0, 'taken out at once');
  const rejoining = later.join('line-3');
  const again = await net.next();
  const hello = await again.welcome({resumed: true, ack: 1});
  assert.deepEqual(hello.resume, {session: 's_1', token: 'r1', ack: 1});
  assert.deepEqual((await again.expect('message')).data, 'on its way');
  await connecting;
  const got = [];
  again.send({type: 'message', seq: 2, room: 'line-3', from: 'm_a', mid: 3, data: 'meanwhile'});
  await joined(again, 3);
  (await rejoining).on('message', ({data}) => got.push(data));
  await sleep(10);
  assert.deepEqual(got, ['meanwhile'], 'held until the application could listen');
  later.close();
});

test('a broken record of an earlier page is left aside', async () => {
  const storage = {getItem: () => '{"session":{"resume":7}', setItem() {}, removeItem() {}};
  const {box, far} = await connected({storage});
  assert.equal(far.sent[0].resume, undefined);
  box.close();
});

test('a window of the box is kept to, over a cut as well', async () => {
  const {box, net, far} = await connected({}, {limits: {frame_bytes: 65536, unacked_frames: 3}});
  const joining = box.join('r');
  await joined(far, 1);
  const room = await joining;
  const count = (end) => end.sent.filter(({type}) => type === 'message').length;
  for (let i = 0; i < 10; i++) room.send(i).catch(() => {});
  assert.equal(count(far), 3);
  far.send({type: 'ack', ack: 3});
  assert.equal(count(far), 5);
  far.cut();
  const again = await net.next();
  await again.welcome({resumed: true, ack: 4, limits: {frame_bytes: 65536, unacked_frames: 3}});
  assert.deepEqual(again.sent.filter(({type}) => type === 'message').map(({seq}) => seq), [5, 6, 7]);
  box.close();
});

test('the fake welcome is what the protocol says', () => {
  for (const field of ['session', 'member', 'resume', 'epoch', 'ack', 'ping_ms', 'dead_ms', 'resume_ms', 'identity', 'limits']) assert.ok(field in welcome());
});
