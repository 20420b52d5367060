import {html, useState} from '../vendor/preact-htm.js';
import {api} from '../common/api.js';
import {Dialog, Field, Form, Notice} from '../common/ui.js';

const actions = {
  backup: 'Make a backup',
  drain: 'Drain the relay',
  'no-drain': 'Take calls again',
  restart: 'Restart the service',
};

/** What operators and administrators may do to a box. @param {{site: string, box: any, session: any, done: () => Promise<void>}} props */
export function BoxActions({site, box, session, done}) {
  const [asking, setAsking] = useState('');
  const [told, setTold] = useState('');
  if (session.role === 'viewer' || box.revoked) return box.revoked ? html`<${Notice} kind="bad">This box was revoked.<//>` : null;
  const path = `/v1/sites/${encodeURIComponent(site)}/boxes/${encodeURIComponent(box.box)}`;
  const command = async () => {
    await api('POST', `${path}/commands`, {name: asking});
    setTold(`"${actions[/** @type {keyof typeof actions} */ (asking)]}" was sent. The answer appears under Commands.`);
    setAsking('');
    await done();
  };
  const revoke = async () => {
    await api('POST', `${path}/revoke`, {});
    setAsking('');
    await done();
  };
  return html`<div class="row">
      ${Object.entries(actions).map(([name, text]) => html`<button key=${name} data-testid=${`do-${name}`} onClick=${() => setAsking(name)}>${text}</button>`)}
      ${session.role === 'administrator' && html`<button class="danger" data-testid="revoke" onClick=${() => setAsking('revoke')}>Revoke</button>`}</div>
    ${told && html`<p role="status" class="muted">${told}</p>`}
    ${asking && asking !== 'revoke' && html`<${Dialog} title=${actions[/** @type {keyof typeof actions} */ (asking)]} onClose=${() => setAsking('')} id="command-dialog">
      <p>The box does it once, within the hour. If it is cut off for longer than that, nothing happens.</p>
      <${Form} onSubmit=${command} submit="Do it" id="command-form" /><//>`}
    ${asking === 'revoke' && html`<${Dialog} title="Revoke this box" onClose=${() => setAsking('')} id="revoke-dialog">
      <p>It is cut off within seconds and cannot come back with the identity it has. The site itself goes on working. To take it in again, join it anew.</p>
      <${Form} onSubmit=${revoke} submit="Revoke" id="revoke-form" danger=${true} /><//>`}`;
}

/** What every box of the site should do, whatever its own configuration says. @param {{site: string, policy: any, session: any, done: () => Promise<void>}} props */
export function PolicyForm({site, policy, session, done}) {
  const [open, setOpen] = useState(false);
  const doc = policy.site ?? {};
  const send = async (/** @type {any} */ v) => {
    const next = { // what has no field here stays as it is
      ...doc, level: v.level || undefined, log_level: v.log_level || undefined,
      frame_every: v.frame_every ? Number(v.frame_every) : undefined, uplink_bps: v.uplink_bps ? Number(v.uplink_bps) * 1000 : undefined,
    };
    await api('PUT', `/v1/sites/${encodeURIComponent(site)}/policy`, {policy: next});
    setOpen(false);
    await done();
  };
  const select = (/** @type {string} */ name, /** @type {string} */ label, /** @type {string[]} */ values) => html`<label class="field"><span>${label}</span>
    <select name=${name}><option value="">as the box has it</option>${values.map((v) => html`<option key=${v} value=${v} selected=${doc[name] === v}>${v}</option>`)}</select></label>`;
  return html`<section class="card" aria-label="Policy"><div class="row spread"><h2>Policy</h2>
      ${session.role !== 'viewer' && html`<button data-testid="edit-policy" onClick=${() => setOpen(true)}>Change</button>`}</div>
    <p class="muted">What the central team wants of every box here. A box that is cut off follows when it is back.</p>
    ${Object.keys(doc).length > 0 ? html`<dl class="facts" data-testid="policy">${Object.entries(doc).map(([k, v]) => html`<dt key=${k}>${k}</dt><dd>${String(v)}</dd>`)}</dl>` : html`<p>Each box does as its own configuration says.</p>`}
    ${open && html`<${Dialog} title="Policy" onClose=${() => setOpen(false)} id="policy-dialog"><${Form} onSubmit=${send} submit="Want this" id="policy-form">
      ${select('level', 'What leaves the site', ['minimal', 'default', 'named'])}
      ${select('log_level', 'Log level', ['debug', 'info', 'warn', 'error'])}
      <${Field} label="A frame every (seconds)" name="frame_every" type="number" min="60" max="300" value=${doc.frame_every ?? ''} />
      <${Field} label="Cap of the link (kbit/s)" name="uplink_bps" type="number" min="8" value=${doc.uplink_bps ? doc.uplink_bps / 1000 : ''} />
    <//><//>`}
  </section>`;
}
