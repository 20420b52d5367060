import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {mkdirSync, readFileSync} from 'node:fs';
import {createRequire} from 'node:module';
import {createInterface} from 'node:readline';
import {fileURLToPath} from 'node:url';
import {after, afterEach, before, suite, test} from 'node:test';
import {binary, Box} from './box.js';
import {chromiumPath, connected, joinCall, launch, openPage, until} from './browsers.js';
import {Cloud} from './cloud.js';
import {makeLab} from './lab.js';

const axeSource = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const docs = fileURLToPath(new URL('../../doc', import.meta.url));
const missing = !chromiumPath ? 'there is no Chromium' : !(await binary()) ? 'there is no Go to build the program with' : false;

suite('the dashboard of all sites', {skip: missing}, () => {
  let lab, cloud, box, browser, other, signedIn;
  const open = [];

  before(async () => {
    lab = await makeLab();
    [cloud, box] = await Promise.all([new Cloud(lab).start(), new Box(lab).start()]);
    [browser, other] = await Promise.all(['a', 'b'].map((host) => launch(lab, host)));
  });

  after(async () => {
    await Promise.all([browser, other].map((each) => each?.close()));
    await Promise.all([box, cloud].map((each) => each?.stop()));
    await lab?.takeDown();
  });

  afterEach(async () => {
    const complaints = open.flatMap(({seen}) => seen.complaints);
    await Promise.all(open.splice(0).map(({context}) => context.close()));
    assert.deepEqual(complaints, []);
  });

  async function page(at, url, options) {
    const opened = await openPage(at, url, options);
    open.push(opened);
    return opened.page;
  }

  /** A page of the dashboard, signed in. */
  async function dashboard(path = '/', options = {}) {
    const at = await page(browser, cloud.url + path, {storageState: signedIn, ...options});
    await at.waitForSelector('[data-link=live]');
    return at;
  }

  /** Nothing that axe knows of WCAG 2.2 AA is wrong with the page as it is now. */
  async function assertAccessible(at, what) {
    await at.evaluate(axeSource);
    const {violations} = await at.evaluate(() => globalThis.axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']}));
    assert.deepEqual(violations.map(({id, nodes}) => `${what}: ${id}: ${nodes.map(({html, failureSummary}) => `${html.slice(0, 200)} ${failureSummary}`).join('; ')}`), []);
  }

  const submit = (at, form) => at.click(`[data-testid=${form}] button[type=submit]`);

  /** Waits for a text to fit, as people would. */
  async function reads(at, selector, pattern, timeout = 15_000) {
    const deadline = Date.now() + timeout;
    for (;;) {
      const text = await at.locator(selector).first().textContent({timeout});
      if (pattern.test(text)) return text;
      assert.ok(Date.now() < deadline, `${selector} says "${text}", want ${pattern}`);
      await at.waitForTimeout(100);
    }
  }

  test('the first administrator comes in by the link that the cloud printed, once', async () => {
    const at = await page(browser, cloud.setup);
    await at.waitForSelector('[data-testid=sign-in]');
    assert.match(await at.textContent('h1'), /Set up this cloud/);
    assert.equal(at.url(), `${cloud.url}/`, 'the code is gone from the address bar');
    await assertAccessible(at, 'set-up');
    await at.fill('[name=name]', 'ada');
    await at.fill('[name=password]', 'correct horse battery');
    await submit(at, 'link-form');
    await at.waitForSelector('[data-link=live]');
    assert.match(await at.textContent('[data-testid=who]'), /ada · administrator/);
    signedIn = await at.context().storageState();
    assert.ok(signedIn.cookies.length > 0 && signedIn.cookies.every(({httpOnly, secure}) => httpOnly && secure));

    const again = await page(other, cloud.setup);
    await again.fill('[name=name]', 'eve');
    await again.fill('[name=password]', 'correct horse battery');
    await submit(again, 'link-form');
    await again.waitForSelector('[data-testid=form-error]');
    open.at(-1).seen.complaints.length = 0; // the browser notes the refusal
  });

  test('a new site gives one command, and its box appears without a reload', async (t) => {
    const at = await dashboard();
    await assertAccessible(at, 'no sites');
    await at.click('[data-testid=new-site]');
    await at.fill('dialog [name=site]', 'hall-2');
    await at.fill('dialog [name=title]', 'Hall 2, press lines');
    await assertAccessible(at, 'new site');
    await submit(at, 'new-site-form');
    const command = await at.textContent('[data-testid=join-command]');
    assert.match(command, /^signalbox join https:\S+ --token \S+ --ca sha256:[0-9a-f]{64}$/);
    await assertAccessible(at, 'the command');
    await at.keyboard.press('Escape');
    await at.waitForSelector('[data-site=hall-2][data-health=waiting]');
    await at.evaluate(() => { globalThis.notReloaded = true; });

    const pasted = Date.now();
    await box.command(...command.split(' ').slice(1));
    await at.waitForSelector('[data-site=hall-2][data-health=green]', {timeout: 10_000});
    t.diagnostic(`the box is on the page ${Date.now() - pasted} ms after the command was pasted`);
    assert.ok(await at.evaluate(() => globalThis.notReloaded));
    await reads(at, '[data-testid=figure-boxes]', /1 of 1/);
    await at.waitForSelector('[data-site=hall-2] [data-testid=strip]');
    await cloud.command('site', 'add', 'mill-7', '--title', 'Mill 7');
    await at.waitForSelector('[data-site=mill-7][data-health=waiting]');
    await assertAccessible(at, 'sites');
  });

  test('a real call through the relay of the box shows on its page', async () => {
    const at = await dashboard();
    await at.click('[data-site=hall-2] a.name');
    await at.waitForSelector('[data-testid=now][data-live=true]');
    assert.equal(at.url(), `${cloud.url}/site/hall-2`);
    await Promise.all([[browser, 'Press 3'], [other, 'Control room']].map(async ([each, name]) => {
      const guest = await page(each, box.https + box.printed(/\/call#\S+/));
      await joinCall(guest, name, {relayOnly: true});
      await guest.waitForSelector('[data-phase=joined]');
    }));
    await Promise.all(open.slice(1).map(({page: guest}) => until(guest, 'the call', connected)));
    await reads(at, '[data-testid=figure-sessions] .value', /^2$/);
    await reads(at, '[data-testid=figure-rooms]', /1.*2 members/);
    await reads(at, '[data-testid=figure-relay] .value', /[1-9]\d* kbit|Mbit/);

    await at.click('[data-testid=edit-policy]');
    await assertAccessible(at, 'policy form');
    await at.selectOption('dialog [name=log_level]', 'debug');
    await submit(at, 'policy-form');
    await reads(at, '[data-testid=policy]', /log_level.*debug/);
    await reads(at, '[data-testid=policy-state]', /revision \d+ in force/);
    await at.waitForSelector('[data-testid=rooms] tbody tr');
    await at.click('[data-testid=do-backup]');
    await submit(at, 'command-form');
    await reads(at, '[data-testid=commands]', /backup on .* by ada: done/);
    await at.waitForSelector('[data-testid=chart] canvas');
    await assertAccessible(at, 'site');
    await at.emulateMedia({colorScheme: 'dark'});
    await assertAccessible(at, 'site, dark');
    if (process.env.UPDATE_PICTURES === '1') {
      await at.emulateMedia({colorScheme: 'light'});
      await picture(at, 'site');
      await picture(await dashboard(), 'sites');
    }
  });

  // The pictures of the documentation are made anew only when somebody asks for it.
  async function picture(at, name) {
    mkdirSync(docs, {recursive: true});
    await at.evaluate(() => scrollTo(0, 0));
    await at.waitForTimeout(500);
    await at.screenshot({path: `${docs}/${name}.png`});
  }

  test('filters stay in the address', async () => {
    const at = await dashboard();
    const shown = () => at.locator('[data-testid=site-row]').evaluateAll((rows) => rows.map((row) => row.dataset.site));
    await at.waitForSelector('[data-site=mill-7]');
    assert.deepEqual((await shown()).sort(), ['hall-2', 'mill-7']);
    await at.fill('[data-testid=filter-q]', 'press');
    await at.waitForSelector('[data-site=mill-7]', {state: 'detached'});
    assert.equal(new URL(at.url()).search, '?q=press');
    await at.reload();
    await at.waitForSelector('[data-site=hall-2]');
    assert.deepEqual(await shown(), ['hall-2']);
    await at.fill('[data-testid=filter-q]', '');
    await at.selectOption('[data-testid=filter-health]', 'waiting');
    await at.waitForSelector('[data-site=hall-2]', {state: 'detached'});
    assert.equal(new URL(at.url()).search, '?health=waiting');
    await at.click('[data-site=mill-7] a.name');
    await at.goBack();
    await at.waitForSelector('[data-site=mill-7]');
    assert.deepEqual(await shown(), ['mill-7']);
    await at.selectOption('[data-testid=filter-health]', 'red');
    await at.waitForSelector('text=No site fits these filters.');
  });

  test('an administrator lets somebody in, who sees everything and changes nothing', async () => {
    const at = await dashboard('/people');
    await at.click('[data-testid=new-person]');
    await at.fill('dialog [name=name]', 'grace');
    await assertAccessible(at, 'new person');
    await submit(at, 'person-form');
    const link = await at.textContent('[data-testid=person-link]');
    await at.keyboard.press('Escape');
    const guest = await page(other, link);
    await guest.fill('[name=password]', 'one two three four');
    await submit(guest, 'link-form');
    await guest.waitForSelector('[data-link=live]');
    assert.match(await guest.textContent('[data-testid=who]'), /grace · viewer/);
    await guest.waitForSelector('[data-site=hall-2]');
    assert.equal(await guest.locator('[data-testid=new-site]').count(), 0);
    assert.equal(await guest.locator('nav >> text=People').count(), 0);
    await guest.click('[data-site=hall-2] a.name');
    await guest.waitForSelector('[data-testid=box]');
    assert.equal(await guest.locator('[data-testid=do-backup], [data-testid=edit-policy], [data-testid=revoke]').count(), 0);

    await at.reload();
    await at.waitForSelector('[data-testid=people] >> text=grace');
    await at.click('[data-testid=new-key]');
    await at.fill('dialog [name=name]', 'prometheus');
    await submit(at, 'key-form');
    await at.waitForSelector('[data-testid=key-secret]');
    await at.keyboard.press('Escape');
    await at.waitForSelector('[data-testid=keys] >> text=prometheus');
    await assertAccessible(at, 'people');
    await at.click('nav >> text=Log');
    await reads(at, '[data-testid=audit]', /grace/);
    await assertAccessible(at, 'log');
  });

  test('a webhook is made, tried and removed, and its secret is shown once', async () => {
    const receiver = await receive();
    try {
      const at = await dashboard('/webhooks', {viewport: {width: 390, height: 844}});
      await at.waitForSelector('text=No webhooks yet.');
      await at.focus('[data-testid=new-webhook]');
      await at.keyboard.press('Enter');
      await at.fill('dialog [name=url]', 'http://127.0.0.1:1/hook');
      await submit(at, 'webhook-form');
      await reads(at, '[data-testid=form-error]', /loopback/);
      open.at(-1).seen.complaints.length = 0; // the browser notes the refusal
      await at.fill('dialog [name=url]', receiver.url);
      await assertAccessible(at, 'new webhook');
      await at.keyboard.press('Enter');
      assert.match(await at.textContent('[data-testid=webhook-secret]'), /^sbw-[0-9a-f]{64}$/);
      await assertAccessible(at, 'secret');
      await at.keyboard.press('Escape');
      const hook = at.locator('[data-testid=webhook]');
      await reads(at, '[data-testid=webhook]', /hook.*All problems · by ada/);
      assert.equal(await at.evaluate(() => document.activeElement.dataset.testid), 'new-webhook', 'the focus is back where it was');
      assert.ok(!(await at.content()).includes('sbw-'), 'the secret is gone from the page');
      await hook.locator('[data-testid=test-webhook]').click();
      await reads(at, '[data-testid=webhook-trial]', lab.isolated ? /arrived: answered 204/ : /did not arrive: .*loopback/);
      if (lab.isolated) assert.match(await receiver.told, /This is a trial by ada/);
      await assertAccessible(at, 'webhooks');
      assert.ok(await at.evaluate(() => document.documentElement.scrollWidth) <= 390);
      await hook.locator('[data-testid=remove-webhook]').click();
      await assertAccessible(at, 'remove webhook');
      await at.keyboard.press('Escape');
      assert.equal(await hook.count(), 1);
      await hook.locator('[data-testid=remove-webhook]').click();
      await submit(at, 'confirm-form');
      await hook.waitFor({state: 'detached'});
    } finally {
      receiver.stop();
    }
  });

  /** A receiver of webhooks beside the cloud. `told` is the body of its first call. */
  async function receive() {
    const program = `require('http').createServer((q, r) => { let body = ''; q.on('data', (d) => { body += d; }).on('end', () => { r.writeHead(204).end(); console.log(body); }); })
      .listen(0, '${lab.address('box')}', function () { console.log(this.address().port); });`;
    const [command, ...args] = [...lab.on('box'), process.execPath, '-e', program];
    const child = spawn(command, args, {stdio: ['ignore', 'pipe', 'inherit']});
    const lines = createInterface({input: child.stdout})[Symbol.asyncIterator]();
    const port = (await lines.next()).value;
    // By name where there is nothing but loopback: an address of it is refused at once.
    return {url: `http://${lab.isolated ? lab.address('box') : 'localhost'}:${port}/hook`, told: lines.next().then(({value}) => value), stop: () => child.kill()};
  }

  test('an address that is cut off within a name says that there is no such site', async () => {
    const at = await dashboard('/site/hall%ff');
    await reads(at, 'main', /there is no site/);
    await at.click('nav >> text=Sites');
    await at.waitForSelector('[data-site=hall-2]');
    open.at(-1).seen.complaints.length = 0; // the browser notes that the API has none
  });

  test('a problem shows by itself, and is acknowledged', async () => {
    const at = await dashboard('/site/hall-2');
    await at.click('[data-testid=revoke]');
    await submit(at, 'revoke-form');
    await at.waitForSelector('text=This box was revoked.');
    await reads(at, '[data-testid=events]', /was revoked by ada.*joined/);
    await box.stop();
    await box.start(); // it does not know, and tries
    await at.click('nav >> text=Problems');
    const problem = at.locator('[data-testid=problem][data-kind=revoked-tries]');
    await problem.waitFor({timeout: 20_000});
    await assertAccessible(at, 'problems');
    await problem.locator('[data-testid=ack]').click();
    await at.fill('dialog [name=note]', 'Ada fetches it on Monday');
    await submit(at, 'ack-form');
    await reads(at, '[data-testid=acked]', /ada knows since .*: Ada fetches it on Monday/);
    await at.click('label:has-text("only what nobody knows yet")');
    await problem.waitFor({state: 'detached'});
    assert.equal(new URL(at.url()).search, '?new=1');
    await at.click('nav >> text=Sites');
    await reads(at, '[data-site=hall-2]', /look at it, known/);
  });

  test('nothing is wider than a phone', async () => {
    const at = await dashboard('/', {viewport: {width: 360, height: 740}});
    for (const path of ['/', '/site/hall-2', '/problems', '/people', '/webhooks', '/audit']) {
      await at.evaluate((to) => { history.pushState(null, '', to); dispatchEvent(new PopStateEvent('popstate')); }, path);
      await at.waitForSelector('main section');
      const wide = await at.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(wide <= 360, `${path} is ${wide} px wide`);
    }
  });

  test('who signs out is out, on this page and on the next', async () => {
    const at = await dashboard();
    await at.click('[data-testid=sign-out]');
    await at.waitForSelector('[data-testid=sign-in]');
    assert.equal(await at.locator('[data-testid=sites]').count(), 0);
    const again = await page(browser, `${cloud.url}/site/hall-2`, {storageState: signedIn});
    await again.waitForSelector('[data-testid=sign-in]');
    await again.fill('[name=name]', 'ada');
    await again.fill('[name=password]', 'correct horse battery');
    await submit(again, 'sign-in-form');
    await again.waitForSelector('[data-testid=box]');
    assert.match(await again.textContent('h1'), /Hall 2/);
  });
});
