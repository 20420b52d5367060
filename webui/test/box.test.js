import assert from 'node:assert/strict';
import {after, before, suite, test} from 'node:test';
import {WebSocket} from 'ws';
import {Signalbox} from '../client/signalbox.js';
import {binary, Box} from './browser/box.js';
import {loopback} from './browser/lab.js';
import {frameChecker} from './browser/schema.js';
import {event, seeded, sleep} from './fake/socket.js';

const missing = !(await binary()) && 'there is no Go to build the box with';

suite('the client library in Node, against a real box', {skip: missing}, () => {
  let lab, box;
  const check = frameChecker();
  const faults = [];
  const clients = [];

  before(async () => {
    lab = loopback();
    box = await new Box(lab).start();
  });
  after(async () => {
    clients.forEach(({client}) => client.close());
    await box?.stop();
    await lab?.takeDown();
  });

  /** A client whose sockets can be cut, and whose frames are checked against the schema. */
  async function makeClient(subject, options = {}) {
    const made = {sockets: new Set(), cuts: 0, resumes: 0, resets: 0};
    class Socket extends WebSocket {
      constructor(url, protocol) {
        super(url, protocol);
        made.sockets.add(this);
        this.addEventListener('close', () => made.sockets.delete(this));
        this.addEventListener('message', ({data}) => note('received', data));
      }
      send(text) {
        note('sent', text);
        super.send(text);
      }
    }
    const note = (way, payload) => {
      const fault = check?.({way, payload});
      if (fault && faults.length < 5) faults.push(fault);
    };
    made.client = new Signalbox({url: box.http, token: await box.token(subject, 'chaos-*', '--rights', 'join,send,create,manage'), name: subject, WebSocket: Socket, ...options});
    made.client.on('resumed', () => made.resumes++);
    made.client.on('reset', () => made.resets++);
    made.cut = () => {
      for (const socket of made.sockets) {
        if (socket.readyState !== 1) continue;
        made.cuts++;
        socket.terminate(); // no closing handshake: what is on its way is lost
      }
    };
    clients.push(made);
    await made.client.connect();
    return made;
  }

  test('members, messages, state, presence', async () => {
    const [{client: one}, {client: two}] = [await makeClient('cam-1'), await makeClient('hmi-1')];
    const first = await one.join('chaos-basic', {name: 'Camera', meta: {kind: 'camera'}});
    const came = event(first, 'join');
    const second = await two.join('chaos-basic', {name: 'Panel'});
    assert.equal((await came).name, 'Panel');
    assert.equal(first.members.get(second.me).polite, false);
    assert.equal(second.members.get(first.me).polite, true);
    assert.deepEqual(second.others.map(({name, meta}) => [name, meta]), [['Camera', {kind: 'camera'}]]);

    const heard = event(second, 'message');
    assert.deepEqual((await first.send({n: 1})).count, 1);
    assert.deepEqual((await heard).data, {n: 1});
    assert.equal((await first.send('to one', {to: second.me})).status, 'delivered');
    assert.equal((await first.send('nobody', {to: 'm_nobody'})).status, 'absent');

    const told = event(second, 'state');
    const version = await first.set('layout', {cols: 2});
    assert.deepEqual((await told).data, {cols: 2});
    await assert.rejects(first.set('layout', {cols: 3}, {version: version + 7}), {code: 'version_conflict'});

    const changed = event(first, 'change');
    await second.update({name: 'Panel 2', meta: {line: 3}});
    assert.deepEqual([(await changed).member.name, (await changed).member.meta], ['Panel 2', {line: 3}]);
    const left = event(first, 'leave');
    await second.leave();
    assert.equal((await left).reason, 'left');
    await assert.rejects(two.join('other-room'), {code: 'forbidden'});
  });

  test('a room that is deleted is lost, also to a member that was cut off meanwhile', async () => {
    const [here, away] = [await makeClient('cam-3'), await makeClient('hmi-3')];
    const rooms = [await here.client.join('chaos-gone'), await away.client.join('chaos-gone')];
    const lost = rooms.map((room) => event(room, 'lost', 8000));
    const back = event(away.client, 'resumed', 8000);
    away.cut();
    await box.command('room', 'delete', 'chaos-gone');
    assert.equal((await lost[0]).code, 'deleted');
    await back;
    assert.match((await lost[1]).code, /deleted|removed/);
  });

  test('a wrong token is final, and says why', async () => {
    const client = new Signalbox({url: box.http, token: 'not.a.token', WebSocket});
    await assert.rejects(client.connect(), (error) => error.code === 'token_malformed' && error.temporary === false);
    assert.equal(client.state, 'closed');
  });

  test('random cuts in both directions, and kill -9 of the box: nothing lost, repeated or reordered', async (t) => {
    const random = seeded(20260101);
    const each = 1500;
    const sides = [await makeClient('cam-2'), await makeClient('hmi-2')];
    const rooms = [];
    for (const {client} of sides) rooms.push(await client.join('chaos-cuts'));
    const got = [[], []];
    rooms.forEach((room, i) => room.on('message', ({data}) => got[i].push(data)));
    await sleep(5);
    let sending = true;
    const trouble = (async () => {
      for (let kills = 0; sending;) {
        await sleep(5 + random() * 60);
        sides[Math.floor(random() * 2)].cut();
        if (kills < 2 && Math.min(got[0].length, got[1].length) > (each / 3) * (kills + 1)) {
          kills++;
          await box.kill();
          await box.start();
        }
      }
    })();
    await Promise.all(rooms.map(async (room, i) => {
      for (let n = 0; n < each; n++) {
        // The box keeps 256 frames for a member that is away, and a room message does not wait for anyone.
        while (n - got[1 - i].length > 100) await sleep(2);
        // Half of them wait for their answer, so that cuts meet both full and empty queues.
        const answer = room.send({n}, n % 3 === 0 ? {to: rooms[1 - i].me} : {});
        if (random() < 0.5) await answer;
        else answer.catch((error) => faults.push(error.message));
      }
    }));
    sending = false;
    await trouble;
    for (let waited = 0; waited < 100 && (got[0].length < each || got[1].length < each); waited++) await sleep(100);
    const want = Array.from({length: each}, (_, n) => n);
    for (const [i, list] of got.entries()) assert.deepEqual(list.map(({n}) => n), want, `what side ${i} heard`);
    assert.deepEqual(sides.map(({resets}) => resets), [0, 0]);
    t.diagnostic(`${sides[0].cuts + sides[1].cuts} cuts, ${sides[0].resumes + sides[1].resumes} resumes, 2 kills`);
  });

  test('every frame was what the protocol says', {skip: check ? false : 'there is no schema.json'}, () => {
    assert.deepEqual(faults, []);
  });
});
