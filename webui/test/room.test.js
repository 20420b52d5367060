import assert from 'node:assert/strict';
import test from 'node:test';
import {connected, event, joined, sleep} from './fake/socket.js';

const member = (id, joinedAt, over = {}) => ({member: id, subject: id, name: id, state: 'online', joined: joinedAt, polite: true, ...over});

async function inRoom(members = [], options = {}) {
  const made = await connected(options);
  const joining = made.box.join('line-3', {name: 'me'});
  const join = await joined(made.far, 1, members);
  const room = await joining;
  await sleep(2); // held frames are released
  return {...made, room, join};
}

test('join resolves with everybody known, and tells of nobody twice', async () => {
  const {box, room} = await inRoom([member('m_a', 1), member('m_b', 2, {state: 'suspended'})]);
  assert.deepEqual(room.others.map(({id, state, polite}) => [id, state, polite]), [['m_a', 'online', true], ['m_b', 'suspended', true]]);
  assert.equal(room.members.get('m_me')?.self, true);
  assert.equal(room.capacity, 16);
  assert.equal(await box.join('line-3'), room, 'the same room again');
  box.close();
});

test('pages of a snapshot take effect together', async () => {
  const {box, far} = await connected();
  const joining = box.join('line-3');
  const join = await far.expect('join');
  far.send({type: 'joined', seq: 1, id: join.id, room: 'line-3', version: 3, member: 'm_me', joined: 9});
  far.send({type: 'room', room: 'line-3', version: 3, page: 1, last: false, members: [member('m_a', 1)], state: [{key: 'k', data: 1, version: 1}]});
  assert.equal(box.rooms.get('line-3').members.size, 0);
  far.send({type: 'room', room: 'line-3', version: 3, page: 2, last: true, members: [member('m_b', 2), member('m_me', 9)], state: [{key: 'l', data: 2, version: 1}]});
  const room = await joining;
  assert.deepEqual([...room.members.keys()], ['m_a', 'm_b', 'm_me']);
  assert.deepEqual([...room.state.keys()], ['k', 'l']);
  box.close();
});

test('presence: join, change, suspended, left, and late news are not news', async () => {
  const {box, far, room} = await inRoom([member('m_a', 1)]);
  const heard = [];
  for (const type of ['join', 'change', 'leave']) room.on(type, (detail) => heard.push([type, (detail.member ?? detail).id, detail.reason ?? (detail.member ?? detail).state]));
  const presence = (version, changed) => far.send({type: 'presence', room: 'line-3', version, member: changed});
  presence(6, member('m_c', 10, {polite: undefined}));
  presence(7, member('m_a', 1, {state: 'suspended'}));
  presence(7, member('m_a', 1, {state: 'suspended'}));
  presence(6, member('m_a', 1, {state: 'online'})); // older than what is known
  presence(8, {member: 'm_a', state: 'left', reason: 'expired'});
  presence(7, member('m_a', 1));
  assert.deepEqual(heard, [['join', 'm_c', 'online'], ['change', 'm_a', 'suspended'], ['leave', 'm_a', 'expired']]);
  assert.equal(room.members.get('m_c').polite, false, 'it joined later, so this side is impolite');
  box.close();
});

test('a snapshot after a resume is told as differences', async () => {
  const {box, net, far, room} = await inRoom([member('m_a', 1), member('m_b', 2)]);
  const heard = [];
  room.on('join', ({id}) => heard.push(`+${id}`));
  room.on('leave', ({member: {id}, reason}) => heard.push(`-${id} ${reason}`));
  far.cut();
  const again = await net.next();
  await again.welcome({resumed: true, ack: 1});
  again.send({type: 'room', room: 'line-3', version: 9, page: 1, last: true, members: [member('m_b', 2), member('m_d', 12), member('m_me', 9)]});
  assert.deepEqual(heard.sort(), ['+m_d', '-m_a left']);
  assert.equal(again.sent.filter(({type}) => type === 'join').length, 0, 'a resumed session is still in its rooms');
  box.close();
});

test('a send tells what became of it, now and later', async () => {
  const {box, far, room} = await inRoom([member('m_a', 1)]);
  const sending = room.send({x: 1}, {to: 'm_a', key: 'k'});
  const frame = await far.expect('message');
  assert.deepEqual([frame.to, frame.key, frame.data, frame.room], ['m_a', 'k', {x: 1}, 'line-3']);
  far.send({type: 'sent', seq: 2, id: frame.id, status: 'stored'});
  assert.deepEqual(await sending, {id: frame.id, status: 'stored', count: undefined});
  const later = event(room, 'receipt');
  far.send({type: 'sent', seq: 3, id: frame.id, status: 'delivered'});
  assert.equal((await later).status, 'delivered');
  const refused = room.send('x');
  const again = await far.expect('message');
  far.send({type: 'error', seq: 4, id: again.id, re: again.seq, code: 'rate_limited', message: 'too fast', temporary: true, retry_after_ms: 70});
  await assert.rejects(refused, {code: 'rate_limited', temporary: true, retryAfterMs: 70, message: 'too fast'});
  box.close();
});

test('messages carry their sender, and a will says that it is one', async () => {
  const {box, far, room} = await inRoom([member('m_a', 1)]);
  const got = [];
  room.on('message', ({data, from, member: sender, will}) => got.push([data, from, sender?.name, will]));
  far.send({type: 'message', seq: 2, room: 'line-3', from: 'm_a', mid: 4, data: null});
  far.send({type: 'message', seq: 3, room: 'line-3', from: 'm_a', data: {gone: true}, will: true});
  far.send({type: 'message', seq: 4, room: 'other', from: 'm_a', mid: 9, data: 1});
  assert.deepEqual(got, [[null, 'm_a', 'm_a', false], [{gone: true}, 'm_a', 'm_a', true]]);
  box.close();
});

test('room state is compare-and-set, and old values do not come back', async () => {
  const {box, far, room} = await inRoom();
  const setting = room.set('layout', {cols: 2}, {version: 0});
  const frame = await far.expect('set');
  assert.deepEqual([frame.key, frame.data, frame.version], ['layout', {cols: 2}, 0]);
  far.send({type: 'ok', seq: 2, id: frame.id, version: 4});
  assert.equal(await setting, 4);
  far.send({type: 'state', room: 'line-3', key: 'layout', data: {cols: 1}, version: 3, from: 'm_a'});
  assert.deepEqual(room.state.get('layout'), {data: {cols: 2}, version: 4});
  far.send({type: 'state', room: 'line-3', key: 'layout', data: null, version: 5, from: 'm_a'});
  assert.equal(room.state.has('layout'), false);
  const lost = room.set('layout', 1, {version: 4});
  const again = await far.expect('set');
  far.send({type: 'error', seq: 3, id: again.id, code: 'version_conflict', message: 'lost', temporary: true, version: 5});
  await assert.rejects(lost, (error) => error.code === 'version_conflict' && error.frame.version === 5);
  box.close();
});

test('a room that says no rejects the join with the box\'s reason', async () => {
  const {box, far} = await connected();
  const joining = box.join('full');
  const join = await far.expect('join');
  far.send({type: 'error', seq: 1, id: join.id, re: join.seq, code: 'room_full', message: 'room "full" holds 2 of 2 members', temporary: true, retry_after_ms: 1000});
  await assert.rejects(joining, {code: 'room_full', temporary: true});
  assert.equal(box.rooms.size, 0);
  const again = box.join('full');
  await joined(far, 2);
  assert.equal((await again).status, 'joined');
  box.close();
});

test('after a reset a full room is tried again: the old member may still hold the seat', async () => {
  const {box, net, far, room} = await inRoom();
  far.cut();
  const again = await net.next();
  await again.welcome({session: 's_2', resumed: false, reason: 'token'});
  const join = await again.expect('join');
  again.send({type: 'error', seq: 1, id: join.id, code: 'room_full', message: 'full', temporary: true, retry_after_ms: 20});
  await joined(again, 2, [], {member: 'm_2'});
  await sleep(2);
  assert.equal(room.me, 'm_2');
  box.close();
});

test('leave answers once the box has, and the room is over', async () => {
  const {box, far, room} = await inRoom();
  const leaving = room.leave();
  const frame = await far.expect('leave');
  far.send({type: 'ok', seq: 2, id: frame.id, room: 'line-3'});
  await leaving;
  await assert.rejects(room.send(1), {code: 'not_joined'});
  assert.equal(box.rooms.size, 0);
  box.close();
});

test('being removed from a room is told', async () => {
  const {box, far, room} = await inRoom();
  const lost = event(room, 'lost');
  far.send({type: 'presence', room: 'line-3', version: 9, member: {member: 'm_me', state: 'left', reason: 'kicked'}});
  assert.equal((await lost).code, 'kicked');
  assert.equal(room.status, 'left');
  box.close();
});

test('a room that was deleted during a cut is found out and told', async () => {
  const {box, net, far, room} = await inRoom();
  far.cut();
  const again = await net.next();
  await again.welcome({resumed: true, ack: 1}); // and no snapshot of the room
  const lost = event(room, 'lost', 6000);
  const asked = await again.expect('presence', 5000);
  assert.equal(asked.name, 'me');
  again.send({type: 'error', seq: 2, id: asked.id, re: asked.seq, code: 'not_joined', message: 'not a member', temporary: false});
  assert.equal((await lost).code, 'removed');
  assert.equal(box.rooms.size, 0);
  box.close();
});
