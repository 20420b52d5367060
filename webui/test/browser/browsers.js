import {execFile} from 'node:child_process';
import {existsSync, mkdirSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {promisify} from 'node:util';
import {chromium} from 'playwright-core';

const run = promisify(execFile);

export const chromiumPath = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((path) => path && existsSync(path));

const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update',
  '--disable-sync', '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream', '--autoplay-policy=user-gesture-required'];

/** A browser on a host of the lab, of a user who has a home of their own if one is given. */
export function launch(lab, host, home) {
  const env = home && {...process.env, HOME: home, XDG_CONFIG_HOME: home, XDG_CACHE_HOME: home, XDG_DATA_HOME: home};
  return chromium.launch({executablePath: lab.isolated ? lab.wrapper(host, chromiumPath) : chromiumPath, args: FLAGS, headless: true, ...(env && {env})});
}

/**
 * The home of a user who has installed a box's root certificate: what a browser
 * reaches over TLS but by a page, it asks nobody about. Undefined without certutil.
 */
export async function trustingHome(lab, name, root) {
  const home = join(lab.dir, `home-${name}`), certificates = join(home, '.pki/nssdb'), file = join(home, 'root.pem');
  mkdirSync(certificates, {recursive: true});
  writeFileSync(file, root);
  try {
    await run('certutil', ['-d', `sql:${certificates}`, '-N', '--empty-password']);
    await run('certutil', ['-d', `sql:${certificates}`, '-A', '-n', 'signalbox', '-t', 'C,,', '-i', file]);
  } catch (error) {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  }
  return home;
}

/**
 * A page that notes everything it complains of, and every frame of its sockets.
 * It trusts the box's certificate without being told to; trust has tests of its own.
 */
export async function openPage(browser, url, {colorScheme = 'light', viewport = {width: 1280, height: 860}, storageState} = {}) {
  const context = await browser.newContext({ignoreHTTPSErrors: true, colorScheme, viewport, storageState});
  const page = await context.newPage();
  const seen = {complaints: [], frames: []};
  page.on('console', (message) => { if (['error', 'warning'].includes(message.type())) seen.complaints.push(message.text()); });
  page.on('pageerror', (error) => seen.complaints.push(error.stack));
  page.on('websocket', (socket) => {
    socket.on('framesent', ({payload}) => seen.frames.push({way: 'sent', payload}));
    socket.on('framereceived', ({payload}) => seen.frames.push({way: 'received', payload}));
  });
  if (url) await page.goto(url);
  return {context, page, seen};
}

/** What the call page says about itself. */
export function callState(page) {
  return page.evaluate(() => globalThis.signalboxCall);
}

/** Opens the call page by a link and joins. */
export async function joinCall(page, name, {source = 'picture', relayOnly = false, transport = 'any', room} = {}) {
  await page.fill('[name=name]', name);
  if (room) await page.fill('[name=room]', room);
  await page.check(`[data-testid=source-${source}]`);
  if (relayOnly || transport !== 'any') {
    await page.click('summary:has-text("Which way")');
    if (relayOnly) await page.check('[data-testid=relay-only]');
    await page.selectOption('[data-testid=transport]', transport);
  }
  await page.click('[data-testid=join-form] button[type=submit]');
}

/** Waits until the call state fits. The last state is in the error when it never does. */
export async function until(page, what, fits, ms = 15_000) {
  const deadline = Date.now() + ms;
  for (;;) {
    const state = await callState(page);
    if (fits(state)) return state;
    if (Date.now() > deadline) throw new Error(`waited in vain for ${what}; the page says ${JSON.stringify(state, null, 1)}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

export const connected = (state) => state.peers[0]?.connection === 'connected' && state.peers[0].stats?.pair && state.peers[0].firstFrameMs !== undefined;
export const frames = (state) => state.peers[0]?.stats?.inbound.video?.frames ?? 0;
