import assert from 'node:assert/strict';
import {existsSync, mkdirSync, readFileSync} from 'node:fs';
import {createRequire} from 'node:module';
import {fileURLToPath} from 'node:url';
import {after, afterEach, before, suite, test} from 'node:test';
import {binary, Box} from './box.js';
import {chromiumPath, connected, joinCall, launch, openPage, until} from './browsers.js';
import {makeLab} from './lab.js';

const axeSource = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const docs = fileURLToPath(new URL('../../doc', import.meta.url));
const missing = !chromiumPath ? 'there is no Chromium' : !(await binary()) ? 'there is no Go to build the box with' : false;

suite('the pages of a box', {skip: missing}, () => {
  let lab, box, browser, other, signedIn;
  const open = [];

  before(async () => {
    lab = await makeLab();
    box = await new Box(lab).start();
    [browser, other] = await Promise.all(['a', 'b'].map((host) => launch(lab, host)));
  });

  after(async () => {
    await Promise.all([browser, other].map((each) => each?.close()));
    await box?.stop();
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

  const console_ = () => page(browser, `${box.https}/`, {storageState: signedIn});

  /** Nothing that axe knows of WCAG 2.2 AA is wrong with the page as it is now. */
  async function assertAccessible(at, what) {
    await at.evaluate(axeSource);
    const {violations} = await at.evaluate(() => globalThis.axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']}));
    assert.deepEqual(violations.map(({id, nodes}) => `${what}: ${id}: ${nodes.map(({html, failureSummary}) => `${html} ${failureSummary}`).join('; ')}`), []);
  }

  /** What people tap is large enough for a gloved hand. */
  async function assertTargets(at, what) {
    const small = await at.evaluate(() => [...document.querySelectorAll('button, a[href], select, summary, label.check, input:not([type=checkbox], [type=radio])')]
      .filter((element) => element.checkVisibility() && !element.closest('p, .skip') && !element.matches('.skip'))
      .map((element) => [element.outerHTML.slice(0, 90), element.getBoundingClientRect()])
      .filter(([, {width, height}]) => width < 44 || height < 44).map(([html, {width, height}]) => `${html} ${width}×${height}`));
    assert.deepEqual(small, [], what);
  }

  test('a stranger sees the state of the box, not its rooms', async () => {
    const at = await page(browser, `${box.https}/`);
    await at.waitForSelector('[data-testid=sign-in]');
    assert.match(await at.textContent('h1'), /Set up this box/);
    assert.equal(await at.locator('[data-testid=rooms]').count(), 0);
    await assertAccessible(at, 'sign-in');
    await assertTargets(at, 'sign-in');
    await at.fill('[name=code]', 'WRONG-CODE');
    await at.click('[data-testid=setup-form] button[type=submit]');
    await at.waitForSelector('[data-testid=form-error]');
    open.at(-1).seen.complaints.length = 0; // the browser notes the refusal
  });

  test('the setup link signs in, once, and leaves no trace in the address bar', async () => {
    const link = box.https + box.printed(/\/#setup=\S+/);
    const at = await page(browser, link);
    await at.waitForSelector('[data-link=live]');
    assert.equal(at.url(), `${box.https}/`);
    for (const figure of ['sessions', 'rooms', 'relay', 'discovery']) await at.waitForSelector(`[data-testid=figure-${figure}]`);
    assert.ok((await at.locator('[data-testid=parts] tbody tr').count()) >= 4);
    signedIn = await at.context().storageState();
    assert.ok(signedIn.cookies.every(({httpOnly, secure, sameSite}) => httpOnly && secure && sameSite === 'Strict'));

    const again = await page(other, link);
    await again.waitForSelector('[data-testid=setup-error]');
    open.at(-1).seen.complaints.length = 0;
  });

  test('rooms are made, shown with their members, and deleted', async () => {
    const at = await console_();
    for (const [name, description] of [['line-3', 'Press line 3'], ['hall/robots', '']]) {
      await at.click('[data-testid=new-room]');
      await at.fill('dialog [name=name]', name);
      await at.fill('dialog [name=description]', description);
      if (name === 'line-3') await assertAccessible(at, 'new room');
      await at.click('dialog button[type=submit]');
      await at.waitForSelector(`[data-room="${name}"]`);
    }
    await at.click('[data-testid=new-room]');
    await at.fill('dialog [name=name]', 'line-3');
    await at.click('dialog button[type=submit]');
    assert.match(await at.textContent('dialog [data-testid=form-error]'), /line-3/);
    await at.keyboard.press('Escape');
    await at.waitForSelector('dialog', {state: 'detached'});
    await at.click('[data-room="hall/robots"] >> text=Delete');
    await at.click('dialog .danger');
    await at.waitForSelector('[data-room="hall/robots"]', {state: 'detached'});
    open.at(-1).seen.complaints.length = 0; // the browser notes the refused name
    await assertAccessible(at, 'console');
    await assertTargets(at, 'console');
  });

  test('an invite with its QR code brings a browser into a call, once', async () => {
    const at = await console_();
    await at.click('[data-room="line-3"] >> text=Invite');
    await at.fill('dialog [name=note]', 'Crane tablet');
    await at.click('dialog button[type=submit]');
    const qr = at.locator('dialog [data-testid=qr]');
    await qr.waitFor();
    assert.ok(await qr.evaluate((image) => image.complete && image.naturalWidth > 0), 'the QR code is a picture the browser can draw');
    await assertAccessible(at, 'invite');
    const url = await at.inputValue('dialog [data-testid=invite-url]');
    assert.match(url, /\/call#invite=.+&room=line-3$/);

    const guest = await page(other, box.https + url.slice(url.indexOf('/call')));
    assert.ok(!guest.url().includes('invite'), 'the code is gone from the address bar');
    await joinCall(guest, 'Crane');
    await guest.waitForSelector('[data-phase=joined]');
    const host = await page(browser, `${box.https}/call#room=line-3`, {storageState: signedIn});
    await joinCall(host, 'Console', {room: 'line-3'});
    await Promise.all([guest, host].map((each) => until(each, 'the call', connected)));
    await at.keyboard.press('Escape');
    await at.waitForSelector('[data-room="line-3"] li:has-text("Crane")');

    const late = await page(other, box.https + url.slice(url.indexOf('/call')));
    await joinCall(late, 'Late');
    await late.waitForSelector('[data-testid=call-error]');
    open.at(-1).seen.complaints.length = 0;
  });

  test('the relay shows who sends through the box, ends an allocation, and drains', async () => {
    const pages = [];
    for (const [each, name] of [[browser, 'Press 3'], [other, 'Control room']]) {
      const at = await page(each, box.https + box.printed(/\/call#\S+/));
      await joinCall(at, name, {relayOnly: true});
      await at.waitForSelector('[data-phase=joined]');
      pages.push(at);
    }
    await Promise.all(pages.map((at) => until(at, 'the call', connected)));
    const at = await console_();
    const rows = at.locator('[data-testid=allocation]');
    await rows.first().waitFor();
    const {allocations} = JSON.parse(await box.command('status', '--allocations', '--json').then((text) => `{"allocations":${text}}`));
    assert.equal(await rows.count(), allocations.length);
    const busy = allocations.find(({sent}) => sent.bytes > 0);
    const text = await at.textContent(`[data-testid=allocation][data-id="${busy.id}"]`);
    for (const part of [busy.user, busy.client, busy.transport, busy.relayed[0], busy.permissions[0]]) assert.ok(text.includes(part), `${part} in ${text}`);
    assert.match(text, /\d (B|KB|MB)/);
    await assertAccessible(at, 'relay');
    await assertTargets(at, 'relay');

    await at.click('[data-testid=drain]');
    await at.waitForSelector('[data-testid=draining]');
    assert.match(await box.command('status'), /relayed, draining\n/);
    await at.click(`[data-testid=allocation][data-id="${busy.id}"] >> text=End`);
    await at.waitForSelector(`[data-testid=allocation][data-id="${busy.id}"]`, {state: 'detached'});
    assert.ok(!(await box.command('status', '--allocations', '--json')).includes(`"id": ${busy.id},`));

    // Nobody gets a new one: when the callers have gone, the relay is drained.
    await Promise.all(open.slice(0, 2).map(({context}) => context.close()));
    for (const {id} of JSON.parse(await box.command('status', '--allocations', '--json'))) await box.command('status', '--end', String(id)).catch(() => {});
    await at.waitForSelector('[data-testid=relay] >> text=the relay is drained');
    await assertAccessible(at, 'drained relay');
    await at.click('[data-testid=drain]');
    await at.waitForSelector('[data-testid=draining]', {state: 'detached'});
    for (const {seen} of open.slice(0, 2)) seen.complaints.length = 0; // their calls ended in the middle
  });

  test('an open invite can be taken back', async () => {
    const at = await console_();
    await at.click('[data-testid=new-invite]');
    await at.fill('dialog [name=room]', 'line-3');
    await at.fill('dialog [name=note]', 'Lost phone');
    await at.click('dialog button[type=submit]');
    await at.waitForSelector('dialog [data-testid=qr]');
    await at.keyboard.press('Escape');
    const row = at.locator('[data-testid=invite]:has-text("Lost phone")');
    await row.waitFor();
    await row.locator('text=Take back').click();
    await row.waitFor({state: 'detached'});
  });

  test('kill -9 and start again: the page comes back by itself, and every room is there', async () => {
    for (let i = 0; i < 20; i++) await box.command('room', 'create', `kept-${i}`, '--pinned');
    const at = await console_();
    await at.waitForSelector('[data-room="kept-19"]');
    await box.kill();
    await at.waitForSelector('[data-link=lost]');
    await box.start();
    await at.waitForSelector('[data-link=live]', {timeout: 15_000});
    for (let i = 0; i < 20; i++) await at.waitForSelector(`[data-room="kept-${i}"]`);
    await at.waitForSelector('[data-room="line-3"]');
    open.at(-1).seen.complaints.length = 0; // the browser notes each refused connection
  });

  test('the call page is accessible before, during and after a call, light and dark', async () => {
    for (const colorScheme of ['light', 'dark']) {
      const pages = [];
      for (const [each, name] of [[browser, 'Press 3'], [other, 'Control room']]) {
        const at = await page(each, box.https + box.printed(/\/call#\S+/), {colorScheme});
        await at.waitForSelector('[data-testid=join-form]');
        await assertAccessible(at, `door, ${colorScheme}`);
        await assertTargets(at, 'door');
        await joinCall(at, name);
        await at.waitForSelector('[data-phase=joined]');
        pages.push(at);
      }
      await Promise.all(pages.map((at) => until(at, 'the call', connected)));
      await assertAccessible(pages[0], `call, ${colorScheme}`);
      await assertTargets(pages[0], 'call');
      await pages[0].click('[data-testid=leave]');
      await pages[0].waitForSelector('[data-testid=door]');
      await assertAccessible(pages[0], `after the call, ${colorScheme}`);
      const dark = await page(browser, `${box.https}/`, {storageState: signedIn, colorScheme});
      await dark.waitForSelector('[data-testid=rooms]');
      await assertAccessible(dark, `console, ${colorScheme}`);
      await Promise.all(open.splice(0).map(({context}) => context.close()));
    }
  });

  test('nothing is wider than a phone', async () => {
    for (const path of ['/', '/call']) {
      const at = await page(browser, box.https + path, {storageState: signedIn, viewport: {width: 360, height: 740}});
      await at.waitForSelector(path === '/' ? '[data-testid=rooms]' : '[data-testid=join-form]');
      // The page is laid out anew while its parts come in: what counts is what it comes to.
      await at.waitForFunction(() => document.documentElement.scrollWidth <= innerWidth, null, {timeout: 10_000}).catch(() => {});
      const [excess, wide] = await at.evaluate(() => [document.documentElement.scrollWidth - innerWidth, [...document.querySelectorAll('body *')]
        .filter((element) => !element.closest('.scroll') && element.getBoundingClientRect().right > innerWidth).map((element) => element.outerHTML.slice(0, 160))]);
      assert.ok(excess <= 0, `${path} is ${excess} px too wide for ${wide.join(' and ')}`);
    }
  });

  // The pictures of the documentation are made anew only when somebody asks for it.
  if (process.env.UPDATE_PICTURES === '1') test('pictures for the documentation', async () => {
    mkdirSync(docs, {recursive: true});
    const pages = [];
    for (const [each, name] of [[browser, 'Press 3'], [other, 'Control room']]) {
      const at = await page(each, box.https + box.printed(/\/call#\S+/));
      await joinCall(at, name, {relayOnly: name === 'Press 3'});
      await at.waitForSelector('[data-phase=joined]');
      pages.push(at);
    }
    await Promise.all(pages.map((at) => until(at, 'the call', connected)));
    await pages[0].waitForTimeout(4000);
    await pages[0].screenshot({path: `${docs}/call.png`});
    const at = await console_();
    await at.waitForSelector('[data-testid=rooms]');
    await at.screenshot({path: `${docs}/console.png`});
    assert.ok(existsSync(`${docs}/call.png`));
  });
});
