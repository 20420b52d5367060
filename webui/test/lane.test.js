import assert from 'node:assert/strict';
import test from 'node:test';
import {nextGeneration, origin, ufrags} from '../client/generation.js';
import {candidateTypes, filterServers} from '../client/ice.js';
import {Inbox} from '../client/inbox.js';
import {Outbox, withAck} from '../client/outbox.js';

const drain = (outbox) => {
  const seqs = [];
  for (let entry = outbox.next(); entry; entry = outbox.next()) seqs.push(entry.seq);
  return seqs;
};
const filled = (n, window = 256) => {
  const outbox = new Outbox();
  outbox.window = window;
  for (let i = 0; i < n; i++) outbox.push({type: 'message', room: 'r', data: i});
  return outbox;
};

test('no more than the window goes out beyond the last acknowledgement', () => {
  const outbox = filled(10, 4);
  assert.deepEqual(drain(outbox), [1, 2, 3, 4]);
  outbox.ack(2);
  assert.deepEqual(drain(outbox), [5, 6]);
  outbox.ack(6);
  assert.deepEqual(drain(outbox), [7, 8, 9, 10]);
  assert.equal(outbox.pending, 4);
});

test('an acknowledgement of what was never sent is ignored', () => {
  const outbox = filled(5, 2);
  drain(outbox);
  outbox.ack(99);
  assert.equal(outbox.acked, 2);
  outbox.ack(1);
  assert.equal(outbox.acked, 2);
  assert.deepEqual(drain(outbox), [3, 4]);
});

test('a resume sends again, in order and with the old numbers, what the box has not accepted', () => {
  const outbox = filled(8, 6);
  assert.deepEqual(drain(outbox), [1, 2, 3, 4, 5, 6]);
  outbox.ack(1);
  assert.ok(outbox.rewind(3));
  assert.deepEqual(drain(outbox), [4, 5, 6, 7, 8]);
  assert.ok(outbox.rewind(3), 'a second cut before any acknowledgement');
  assert.deepEqual(drain(outbox), [4, 5, 6, 7, 8]);
  assert.ok(!outbox.rewind(2), 'what was acknowledged is gone');
  assert.ok(!outbox.rewind(9), 'what was never made cannot have arrived');
});

test('a new session begins at 1 and tells what the old one left, sent or not', () => {
  const outbox = filled(3, 2);
  drain(outbox);
  assert.deepEqual(outbox.restart().map(({frame, sent}) => [frame.data, sent]), [[0, true], [1, true], [2, false]]);
  assert.equal(outbox.push({type: 'message', room: 'r', data: 'new'}), 1);
});

test('a saved outbox goes on where it was', () => {
  const outbox = filled(5, 3);
  drain(outbox);
  outbox.ack(1);
  const later = new Outbox();
  later.load(JSON.parse(JSON.stringify(outbox.save())));
  assert.ok(later.rewind(2));
  assert.deepEqual(drain(later), [3, 4, 5]);
  assert.equal(later.push({type: 'leave', room: 'r'}), 6);
});

test('the queue is bounded in frames and bytes, and a frame in size', () => {
  const outbox = filled(2048);
  assert.throws(() => outbox.push({type: 'message'}), {code: 'queue_full', temporary: true});
  const bytes = new Outbox();
  bytes.frameBytes = 1 << 20;
  for (let i = 0; i < 4; i++) bytes.push({type: 'message', data: 'x'.repeat(1 << 19)}), bytes.push({type: 'message', data: 'x'.repeat(1 << 18)});
  assert.throws(() => { for (let i = 0; i < 9; i++) bytes.push({type: 'message', data: 'x'.repeat(1 << 19)}); }, {code: 'queue_full'});
  const small = new Outbox();
  small.frameBytes = 100;
  assert.throws(() => small.push({type: 'message', data: 'ü'.repeat(40)}), {code: 'too_big'});
  assert.equal(small.push({type: 'message'}), 1, 'a refused frame uses up no number');
});

test('the acknowledgement is added to a frame that is text already', () => {
  assert.deepEqual(JSON.parse(withAck('{"type":"x","seq":1}', 41)), {ack: 41, type: 'x', seq: 1});
  assert.deepEqual(JSON.parse(withAck('{"type":"x","seq":1}', 0)), {type: 'x', seq: 1});
});

test('the inbox tells new frames, repeats and gaps apart', () => {
  const inbox = new Inbox();
  assert.deepEqual([1, 2, 2, 1, 4, 3, 4].map((seq) => inbox.accept(seq)), ['new', 'new', 'repeat', 'repeat', 'gap', 'new', 'new']);
  assert.equal(inbox.received, 4);
});

test('as many numbers of each sender are remembered as it may send again, whatever their order', () => {
  const inbox = new Inbox();
  inbox.window = 256;
  assert.ok(!inbox.seen('m_a', 7));
  assert.ok(!inbox.seen('m_a', 5), 'lower, but new: a candidate that the box held back');
  assert.ok(!inbox.seen('m_b', 7), 'another sender');
  assert.ok(inbox.seen('m_a', 5) && inbox.seen('m_a', 7));
  for (let mid = 100; mid < 100 + 256; mid++) assert.ok(!inbox.seen('m_a', mid));
  assert.ok(inbox.seen('m_a', 100));
  assert.ok(!inbox.seen('m_a', 7), 'forgotten: 256 others came since');
  for (let i = 0; i < 1000; i++) inbox.seen(`m_${i}`, 1);
  assert.ok(!inbox.seen('m_b', 7), 'senders are bounded too');
});

test('generations grow, and of two offers that cross the impolite one is higher', () => {
  for (let current = 0; current < 1000; current++) {
    const polite = nextGeneration(current, true), impolite = nextGeneration(current, false);
    assert.ok(polite > current && impolite > current);
    assert.equal(impolite, polite + 1);
    assert.equal(polite % 2, 0);
  }
  assert.deepEqual([nextGeneration(0, true), nextGeneration(0, false), nextGeneration(2, false), nextGeneration(3, true)], [2, 3, 5, 4]);
});

test('descriptions are read for what orders them, and nothing else', () => {
  const sdp = 'v=0\r\no=- 4611 2 IN IP4 127.0.0.1\r\na=ice-ufrag:Ab+/\r\na=candidate:1 1 udp 1 10.0.0.5 5000 typ relay raddr 0.0.0.0 rport 0\r\na=ice-ufrag:x\r\n';
  assert.equal(origin(sdp), '4611');
  assert.deepEqual(ufrags(sdp), ['Ab+/', 'x']);
  assert.deepEqual(candidateTypes(sdp), ['relay']);
  assert.deepEqual([origin(undefined), ufrags(undefined), candidateTypes(undefined)], [undefined, [], []]);
});

test('relays are chosen by the way to reach them', () => {
  const turn = (url) => ({urls: [url], username: 'u', credential: 'c'});
  const servers = [{urls: 'stun:b:3478'}, turn('turn:b:3478?transport=udp'), turn('turn:b:3478?transport=tcp'), turn('turns:b:8443?transport=tcp'), turn('turn:b:1'), turn('turns:b:2')];
  const urls = (transport) => filterServers(servers, transport).map((server) => [server.urls].flat()[0]);
  assert.deepEqual(urls('udp'), ['stun:b:3478', 'turn:b:3478?transport=udp', 'turn:b:1']);
  assert.deepEqual(urls('tcp'), ['stun:b:3478', 'turn:b:3478?transport=tcp']);
  assert.deepEqual(urls('tls'), ['stun:b:3478', 'turns:b:8443?transport=tcp', 'turns:b:2']);
  assert.equal(urls('any').length, 6);
  assert.deepEqual(filterServers([{urls: ['turn:b?transport=tcp', 'turn:b?transport=udp'], username: 'u'}], 'udp'), [{urls: ['turn:b?transport=udp'], username: 'u'}]);
});
