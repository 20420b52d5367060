import {html, useCallback, useEffect, useState} from '../vendor/preact-htm.js';
import {api} from '../common/api.js';
import {fromNow} from '../common/format.js';
import {Badge, Copy, Dialog, Field, Form, Notice} from '../common/ui.js';
import {Confirm} from './confirm.js';

/** How often the state of deliveries is asked for. */
const LOOK_MS = 5000;

/** Where problems are told. For administrators. */
export function Webhooks() {
  const [list, setList] = useState(/** @type {any[] | undefined} */ (undefined));
  const [adding, setAdding] = useState(false);
  const [removing, setRemoving] = useState(/** @type {any} */ (undefined));
  const [error, setError] = useState('');
  const load = useCallback(async () => {
    try {
      setList((await api('GET', '/v1/webhooks')).webhooks);
      setError('');
    } catch (fault) {
      setError(/** @type {Error} */ (fault).message);
    }
  }, []);
  useEffect(() => {
    load();
    const timer = setInterval(load, LOOK_MS);
    return () => clearInterval(timer);
  }, []);
  const remove = async () => {
    await api('DELETE', `/v1/webhooks/${encodeURIComponent(removing.id)}`);
    setRemoving(undefined);
    await load();
  };
  return html`<section class="card" aria-label="Webhooks">
    <div class="row spread"><h1>Webhooks</h1><button class="primary" data-testid="new-webhook" onClick=${() => setAdding(true)}>New webhook</button></div>
    <p class="muted">The cloud tells each of these addresses when a problem begins, changes or ends, and tries again until it is answered.</p>
    ${error && html`<${Notice} kind="bad">${error}<//>`}
    ${list?.length === 0 && html`<p class="muted">No webhooks yet.</p>`}
    <ul class="plain problems" data-testid="webhooks">${list?.map((w) => html`<${Webhook} key=${w.id} webhook=${w} onRemove=${() => setRemoving(w)} done=${load} />`)}</ul>
    ${adding && html`<${NewWebhook} onClose=${() => { setAdding(false); load(); }} />`}
    ${removing && html`<${Confirm} title="Remove this webhook" submit="Remove" onClose=${() => setRemoving(undefined)} onConfirm=${remove}>
      <p class="long">${removing.url}</p><p>It is told nothing any more, and its secret is gone. To tell it again, make a new one.</p><//>`}
  </section>`;
}

/** How deliveries go, in a word and a colour. @param {any} w @returns {{kind: 'good' | 'bad' | 'idle', word: string}} */
export function delivery(w) {
  if (w.failing) return {kind: 'bad', word: 'fails'};
  return w.last_ok ? {kind: 'good', word: 'delivers'} : {kind: 'idle', word: 'nothing told yet'};
}

/** @param {{webhook: any, onRemove: () => void, done: () => Promise<void>}} props */
function Webhook({webhook: w, onRemove, done}) {
  const [trial, setTrial] = useState(/** @type {any} */ (undefined));
  const [busy, setBusy] = useState(false);
  const test = async () => {
    if (busy) return;
    setBusy(true);
    try {
      setTrial(await api('POST', `/v1/webhooks/${encodeURIComponent(w.id)}/test`, {}));
    } catch (fault) {
      setTrial({error: /** @type {Error} */ (fault).message});
    }
    setBusy(false);
    await done();
  };
  const state = delivery(w);
  return html`<li class="problem" data-testid="webhook" data-id=${w.id}>
    <div class="row spread"><strong class="long">${w.url}</strong><${Badge} kind=${state.kind}>${state.word}<//></div>
    <p class="muted">${w.health === 'red' ? 'Only what is red' : 'All problems'} · by ${w.by}, ${fromNow(w.created)}${w.last_ok && ` · delivered ${fromNow(w.last_ok)}`}</p>
    ${w.failing && html`<p class="why" data-testid="webhook-error"><strong>Nothing has arrived since ${new Date(w.failing).toLocaleString()}:</strong> ${w.error}</p>
      ${w.next && html`<p class="muted">It is tried again ${Date.parse(w.next) > Date.now() ? fromNow(w.next) : 'now'}.</p>`}`}
    ${trial && html`<${Notice} kind=${trial.ok ? 'info' : 'warn'} id="webhook-trial">${trial.ok
      ? `The trial arrived: answered ${trial.status} after ${trial.dur_ms} ms.` : `The trial did not arrive: ${trial.error}`}<//>`}
    <div class="row"><button data-testid="test-webhook" aria-busy=${busy} aria-label=${`Send a trial to ${w.url}`} onClick=${test}>${busy ? 'One moment…' : 'Send a trial'}</button>
      <button class="danger" data-testid="remove-webhook" aria-label=${`Remove ${w.url}`} onClick=${onRemove}>Remove</button></div>
  </li>`;
}

/** @param {{onClose: () => void}} props */
function NewWebhook({onClose}) {
  const [made, setMade] = useState(/** @type {any} */ (undefined));
  const send = async (/** @type {any} */ v) => setMade(await api('POST', '/v1/webhooks', {url: v.url.trim(), health: v.health}));
  return html`<${Dialog} title="New webhook" onClose=${onClose} id="webhook-dialog">
    ${made ? html`<p>Deliveries are signed with this secret. It is shown this once: give it to the receiver.</p>
      <pre class="command" data-testid="webhook-secret">${made.secret}</pre><div class="row"><${Copy} text=${made.secret} label="Copy secret" /></div>
      <p class="muted">The header Signalbox-Signature is t=UNIX,v1=HEX: HMAC-SHA256 of the time, a dot, and the body. A delivery may come more than once: its events have the same id then.</p>`
      : html`<${Form} onSubmit=${send} submit="Make the webhook" id="webhook-form">
        <${Field} label="Address" name="url" type="url" required=${true} maxlength="2000" placeholder="https://" spellcheck=${false} autocapitalize="none"
          hint="The cloud sends POST requests to it. All administrators can read it, and nobody else." />
        <label class="field"><span>Tell of</span><select name="health"><option value="amber">all problems</option><option value="red">only what is red</option></select></label>
      <//>`}
  <//>`;
}
