import {html, render, useEffect, useState} from '../vendor/preact-htm.js';
import {api} from '../common/api.js';
import {Field, Form, Header, Notice} from '../common/ui.js';
import {CallController} from './controller.js';
import {readEntry, tokenRooms} from './entry.js';
import {noCamera} from './media.js';
import {LogPanel, PartyPanel} from './panel.js';
import {Stage} from './stage.js';

const entry = readEntry();
/** Set by App, which draws the call anew after each change. */
let redraw = () => {};
let queued = false;
const call = new CallController(() => {
  if (queued) return;
  queued = true;
  // Many small changes come together; a timer runs in hidden pages too.
  setTimeout(() => { queued = false; redraw(); }, 30);
});
Object.defineProperty(globalThis, 'signalboxCall', {get: () => call.snapshot()});

function App() {
  const [, setTick] = useState(0);
  const [box, setBox] = useState(/** @type {any} */ (undefined));
  redraw = () => setTick((n) => n + 1);
  useEffect(() => {
    api('GET', '/.well-known/signalbox').then(setBox, () => {});
    if (entry.join && entry.room) call.join({room: entry.room, name: entry.name || 'Guest', source: entry.source ?? 'picture', invite: entry.invite, relayOnly: entry.relayOnly, transport: /** @type {any} */ (entry.transport ?? 'any')});
  }, []);
  const live = call.phase === 'joined';
  return html`<${Header} title=${box?.site ?? ''} at="call" />
    <main id="main" data-testid="call" data-phase=${call.phase} data-connection=${call.parties[0]?.connection ?? 'none'}>
      ${live ? html`<${Live} />` : html`<${Door} box=${box} />`}
    </main>`;
}

function Live() {
  return html`<h1 class="offscreen">Test call in room ${call.room?.name}</h1>
    ${call.source?.why && html`<${Notice} kind="warn" id="source-why">${call.source.why}<//>`}
    <div class="call"><div class="column"><${Stage} call=${call} /><${Controls} /></div>
      <aside class="column" aria-label="How the call goes">
        ${call.parties.map((party) => html`<${PartyPanel} key=${party.member} party=${party} />`)}
        <${LogPanel} call=${call} /></aside></div>`;
}

function Controls() {
  const [muted, setMuted] = useState(false);
  const mute = () => {
    call.enable('audio', muted);
    setMuted(!muted);
  };
  return html`<section class="card" aria-label="Controls"><div class="row spread">
    <div class="row"><button class="danger" data-testid="leave" onClick=${() => call.leave()}>Leave</button>
      <button aria-pressed=${String(muted)} data-testid="mute" onClick=${mute}>${muted ? 'Unmute' : 'Mute'}</button></div>
    <${Relay} relayOnly=${call.wanted?.relayOnly} transport=${call.wanted?.transport} onChange=${(/** @type {any} */ change) => call.change(change)} />
  </div></section>`;
}

/** @param {{relayOnly?: boolean, transport?: string, onChange?: (change: any) => void}} props */
function Relay({relayOnly, transport, onChange}) {
  return html`<div class="row relay">
    <label class="check"><input type="checkbox" name="relayOnly" defaultChecked=${relayOnly} data-testid="relay-only" onChange=${(/** @type {any} */ e) => onChange?.({relayOnly: e.target.checked})} /> Through the relay only</label>
    <label class="row"><span>Relay over</span><select name="transport" data-testid="transport" onChange=${(/** @type {any} */ e) => onChange?.({transport: e.target.value})}>
      ${[['any', 'UDP, TCP or TLS'], ['udp', 'UDP'], ['tcp', 'TCP'], ['tls', 'TLS']].map(([value, text]) => html`<option value=${value} selected=${value === (transport ?? 'any')}>${text}</option>`)}
    </select></label></div>`;
}

/** Everything before the call: who, where, with what. @param {{box: any}} props */
function Door({box}) {
  const without = noCamera();
  const secure = without && !globalThis.isSecureContext && box?.https ? `https://${location.hostname}:${box.https}/call` : undefined;
  const rooms = tokenRooms();
  const room = entry.room || call.wanted?.room || rooms?.find((name) => !name.includes('*')) || '';
  const join = (/** @type {any} */ values) => call.join({
    room: values.room.trim(), name: values.name.trim() || 'Guest', source: values.source,
    invite: codeOf(values.invite) || (call.wanted ? call.wanted.invite : entry.invite),
    relayOnly: values.relayOnly === 'on', transport: values.transport,
  });
  return html`<section class="card narrow" data-testid="door">
    <h1>${call.phase === 'left' ? 'You left the call' : 'Test call'}</h1>
    <p class="muted">Two browsers in the same room see and hear each other, and this page tells which way the media takes.</p>
    ${call.phase === 'failed' && html`<${Notice} kind="bad" id="call-error">${explain(call.error)}<//>`}
    <${Form} onSubmit=${join} submit=${call.phase === 'left' ? 'Join again' : 'Join the room'} id="join-form">
      <${Field} label="Room" name="room" required=${true} defaultValue=${room} maxlength="64" />
      <${Field} label="Your name" name="name" defaultValue=${entry.name} maxlength="48" placeholder="Guest" />
      <fieldset><legend>Send</legend>
        <label class="check"><input type="radio" name="source" value="camera" disabled=${Boolean(without)} defaultChecked=${!without && entry.source !== 'picture'} data-testid="source-camera" /> Camera and microphone</label>
        <label class="check"><input type="radio" name="source" value="picture" defaultChecked=${Boolean(without) || entry.source === 'picture'} data-testid="source-picture" /> A generated picture with a clock and a tone</label>
        ${without && html`<p class="muted" data-testid="no-camera">${without}${secure && html` <a href=${secure}>Open this page over HTTPS</a>.`}</p>`}
      </fieldset>
      <details open=${entry.relayOnly}><summary>Which way the media may take</summary><${Relay} relayOnly=${entry.relayOnly} transport=${entry.transport} /></details>
      ${!rooms && !entry.invite && html`<details><summary>I have an invite code</summary><${Field} label="Invite link or code" name="invite" spellcheck=${false} /></details>`}
    <//></section>`;
}

/** @param {string | undefined} text a code or the link it came in */
function codeOf(text) {
  return /#.*?\binvite=([^&\s]+)/.exec(text ?? '')?.[1] ?? text?.trim();
}

/** @param {{code: string, text: string} | undefined} error */
function explain(error) {
  if (error?.code === 'forbidden' || error?.code === 'unauthorized') return `${error.text}. Ask for an invite, or sign in to the console first.`;
  if (error?.code.startsWith('token_')) return `${error.text} Ask for a new invite.`;
  return error?.text ?? 'The call failed.';
}

render(html`<${App} />`, /** @type {Element} */ (document.getElementById('app')));
