import assert from 'node:assert/strict';
import {after, afterEach, before, suite, test} from 'node:test';
import {binary, Box} from './box.js';
import {callState, chromiumPath, connected, frames, joinCall, launch, openPage, trustingHome, until} from './browsers.js';
import {makeLab} from './lab.js';
import {frameChecker} from './schema.js';

const missing = !chromiumPath ? 'there is no Chromium' : !(await binary()) ? 'there is no Go to build the box with' : false;

suite('two browsers hold a video call through the box', {skip: missing}, () => {
  let lab, box, homes, browsers, pages = [];

  before(async () => {
    lab = await makeLab();
    box = await new Box(lab).start();
    const {certificate} = JSON.parse(await box.command('trust', '--json'));
    homes = await Promise.all(['a', 'b'].map((host) => trustingHome(lab, host, certificate)));
    browsers = await Promise.all(['a', 'b'].map((host, i) => launch(lab, host, homes[i])));
  });

  after(async () => {
    await Promise.all((browsers ?? []).map((browser) => browser.close()));
    await box?.stop();
    await lab?.takeDown();
  });

  // Every frame of every call is what the protocol says, and no page complained.
  afterEach(async () => {
    const check = frameChecker();
    const faults = pages.flatMap(({seen}) => seen.frames.map((frame) => check?.(frame)).filter(Boolean));
    const complaints = pages.flatMap(({seen}) => seen.complaints);
    await Promise.all(pages.splice(0).map(({context}) => context.close()));
    assert.deepEqual(faults, []);
    assert.deepEqual(complaints, []);
  });

  /** Both pages in the room of the printed link; resolves when both see a picture. */
  async function call(options = {}, {origin = box.https} = {}) {
    const link = origin + box.printed(/\/call#\S+/);
    for (const [i, name] of ['Press 3', 'Control room'].entries()) {
      pages.push(await openPage(browsers[i], link));
      await joinCall(pages[i].page, name, options);
      await pages[i].page.waitForSelector('[data-phase=joined]');
    }
    return Promise.all(pages.map(({page}) => until(page, 'a picture of the other side', connected)));
  }

  /** Pictures keep being decoded. */
  async function assertFlowing(what) {
    const before = await Promise.all(pages.map(({page}) => callState(page)));
    await Promise.all(pages.map(({page}, i) => until(page, `more pictures ${what}`, (state) => frames(state) > frames(before[i]) + 10, 8000)));
  }

  /** Both ends are relayed addresses. Each side is free to choose how it reaches the relay, unless told. */
  function assertRelay(states, protocol) {
    for (const {peers: [{stats: {pair}}]} of states) {
      assert.equal(pair.local.type, 'relay');
      assert.ok(protocol ? pair.local.relayProtocol === protocol : ['udp', 'tcp', 'tls'].includes(pair.local.relayProtocol), JSON.stringify(pair));
      assert.equal(pair.local.address, lab.address('box'));
      assert.equal(pair.remote.type, 'relay');
      assert.equal(pair.remote.address, lab.address('box'));
    }
  }

  test('directly', async (t) => {
    const states = await call({source: 'camera'});
    for (const {peers: [{stats: {pair}}], source} of states) {
      assert.ok(['host', 'prflx'].includes(pair.local.type) && ['host', 'prflx'].includes(pair.remote.type), JSON.stringify(pair));
      assert.equal(source.kind, 'camera');
    }
    await assertFlowing('directly');
    t.diagnostic(`first picture after ${states.map(({peers}) => peers[0].firstFrameMs)} ms, round trip ${states[0].peers[0].stats.pair.rttMs} ms`);
    for (const {page} of pages) {
      assert.equal(await page.locator('[data-testid=connection]').textContent(), 'connected');
      assert.equal(await page.locator('[data-testid=path]').textContent(), 'Directly between the two');
      assert.ok(!page.url().includes('token'), 'the token is gone from the address bar');
    }
    await pages[0].page.click('[data-testid=leave]');
    await until(pages[1].page, 'the other side to be gone', ({peers, members}) => peers.length === 0 && members.length === 1);
  });

  for (const protocol of ['udp', 'tcp']) {
    test(`through the relay only, over ${protocol.toUpperCase()}`, async (t) => {
      const states = await call({relayOnly: true, transport: protocol});
      assertRelay(states, protocol);
      await assertFlowing('through the relay');
      t.diagnostic(`first picture after ${states.map(({peers}) => peers[0].firstFrameMs)} ms, round trip ${states[0].peers[0].stats.pair.rttMs} ms`);
    });
  }

  test('through the relay only, over TLS', async (t) => {
    if (!homes[0]) return t.skip('needs certutil');
    const states = await call({relayOnly: true, transport: 'tls'});
    assertRelay(states, 'tls');
    await assertFlowing('through the relay');
    t.diagnostic(`first picture after ${states.map(({peers}) => peers[0].firstFrameMs)} ms, by ${states.map(({peers}) => peers[0].stats.pair.local.url)}`);
  });

  test('through one open port: pages, signaling and media by the port for HTTPS', async (t) => {
    if (!homes[0] || !(await canBlock())) return t.skip('needs a network of its own, nft and certutil');
    // Everything of the box and of each other is closed, but for one TCP port.
    await block('ip daddr { 10.88.0.1, 10.88.0.2, 10.88.0.3 } meta l4proto udp drop', 'ip daddr 10.88.0.1 tcp dport != 8443 drop');
    try {
      const states = await call({relayOnly: true});
      assertRelay(states, 'tls');
      for (const {peers: [{stats: {pair}}]} of states) assert.equal(pair.local.url, `turns:${lab.address('box')}:8443?transport=tcp`);
      await assertFlowing('through the one port');
      t.diagnostic(`first picture after ${states.map(({peers}) => peers[0].firstFrameMs)} ms, round trip ${states[0].peers[0].stats.pair.rttMs} ms`);
    } finally {
      await unblock();
    }
  });

  test('a direct call changes to the relay and back in the middle', async () => {
    await call();
    // Both at once: the two new offers cross.
    await Promise.all(pages.map(({page}) => page.check('[data-testid=relay-only]')));
    const relayed = await Promise.all(pages.map(({page}) => until(page, 'the relay', ({peers: [peer]}) => peer?.connection === 'connected' && peer.stats?.pair?.local.type === 'relay' && peer.stats?.pair.remote.type === 'relay')));
    assertRelay(relayed);
    await assertFlowing('after the move');
    await Promise.all(pages.map(({page}) => page.uncheck('[data-testid=relay-only]')));
    await Promise.all(pages.map(({page}) => until(page, 'the direct way', ({peers: [peer]}) => peer?.connection === 'connected' && peer.stats?.pair?.local.type !== 'relay')));
    await assertFlowing('after the way back');
  });

  test('kill -9 of the box: the call goes on, and the sessions come back with nothing lost', async () => {
    const before = await call();
    await box.kill();
    await Promise.all(pages.map(({page}) => until(page, 'the cut', (state) => state.box === 'suspended')));
    await assertFlowing('while the box is down');
    pages.forEach(({seen}) => { seen.complaints.length = 0; }); // the browser reports each refused connection
    await box.start();
    const back = await Promise.all(pages.map(({page}) => until(page, 'the box again', (state) => state.box === 'open')));
    pages.forEach(({seen}) => { seen.complaints.length = 0; });
    back.forEach((state, i) => {
      assert.deepEqual([state.session, state.resets, state.resumes], [before[i].session, 0, 1]);
      assert.ok(state.epoch > before[i].epoch);
      assert.deepEqual(state.members.map(({state}) => state), ['online', 'online']);
    });
    await assertFlowing('after the restart');
    // The resumed sessions still negotiate.
    await pages[0].page.check('[data-testid=relay-only]');
    await until(pages[0].page, 'the relay', ({peers: [peer]}) => peer?.connection === 'connected' && peer.stats?.pair?.local.type === 'relay');
  });

  test('a cable that is pulled for five seconds: call and session come back by themselves', async (t) => {
    if (!lab.isolated) return t.skip('needs a network of its own');
    const before = await call();
    await lab.exec('box', 'ip', 'link', 'set', 'to-a', 'down');
    await new Promise((resolve) => setTimeout(resolve, 5000));
    const stuck = await callState(pages[0].page);
    await lab.exec('box', 'ip', 'link', 'set', 'to-a', 'up');
    const plugged = Date.now();
    await until(pages[0].page, 'pictures again', (state) => frames(state) > frames(stuck) + 10 && state.box === 'open');
    t.diagnostic(`pictures and box back ${Date.now() - plugged} ms after the cable; before, the page said: box ${stuck.box}, call ${stuck.peers[0]?.connection}`);
    const after = await callState(pages[0].page);
    assert.deepEqual([after.session, after.resets], [before[0].session, 0]);
    await assertFlowing('after the cable');
    pages.forEach(({seen}) => { seen.complaints.length = 0; }); // the browser reports what it could not reach
  });

  test('a page that reloads is back in the call', async () => {
    await call();
    await pages[0].page.reload();
    await joinCall(pages[0].page, 'Press 3');
    await Promise.all(pages.map(({page}) => until(page, 'the call again', connected)));
    await assertFlowing('after the reload');
  });

  test('on a page over plain HTTP there is a generated picture, and a sentence that says why', async () => {
    const states = await call({}, {origin: box.http});
    assert.equal(states[0].source.kind, 'picture');
    await assertFlowing('from an insecure page');
  });

  test('why a call fails is said', async (t) => {
    if (!(await canBlock())) return t.skip('needs a network of its own, and nft');
    await lab.exec('a', 'ip', 'route', 'add', 'blackhole', '10.88.0.3/32');
    await lab.exec('b', 'ip', 'route', 'add', 'blackhole', '10.88.0.2/32');
    try {
      // No way between the two, and no relay either: its port is closed to both.
      const states = await blockedCall();
      for (const {peers: [{reasons}]} of states) assert.deepEqual(reasons.map(({code}) => code), ['no_way']);
      assert.match(await pages[0].page.locator('[data-testid=reason]').first().textContent(), /relay.*3478/);
    } finally {
      for (const host of ['a', 'b']) await lab.exec(host, 'ip', 'route', 'del', 'blackhole', host === 'a' ? '10.88.0.3/32' : '10.88.0.2/32');
    }
  });

  async function canBlock() {
    return lab.isolated && lab.exec('a', 'nft', '--version').then(() => true, () => false);
  }

  /** Has a firewall on both hosts drop what they send by these rules of nft. */
  async function block(...rules) {
    const table = 'add table inet block; add chain inet block out { type filter hook output priority 0; }; ';
    for (const host of ['a', 'b']) await lab.exec(host, 'nft', table + rules.map((rule) => `add rule inet block out ${rule}`).join('; '));
  }

  async function unblock() {
    for (const host of ['a', 'b']) await lab.exec(host, 'nft', 'delete', 'table', 'inet', 'block');
  }

  /** A call by UDP alone whose relay is not to be reached: over TLS it would be, on the port of the page. */
  async function blockedCall() {
    await block('meta l4proto { tcp, udp } th dport 3478 drop');
    try {
      const link = box.https + box.printed(/\/call#\S+/);
      for (const [i, name] of ['Press 3', 'Control room'].entries()) {
        pages.push(await openPage(browsers[i], link));
        await joinCall(pages[i].page, name, {transport: 'udp'});
        await pages[i].page.waitForSelector('[data-phase=joined]');
      }
      return await Promise.all(pages.map(({page}) => until(page, 'a reason', ({peers: [peer]}) => peer?.reasons.length > 0)));
    } finally {
      await unblock();
    }
  }
});
