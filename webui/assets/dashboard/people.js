import {html, useCallback, useEffect, useState} from '../vendor/preact-htm.js';
import {api} from '../common/api.js';
import {fromNow} from '../common/format.js';
import {Copy, Dialog, Field, Form, Notice} from '../common/ui.js';
import {Confirm} from './confirm.js';

const roles = ['viewer', 'operator', 'administrator'];

/** Who may come in. For administrators. @param {{session: any}} props */
export function People({session}) {
  const [state, setState] = useState(/** @type {any} */ (undefined));
  const [dialog, setDialog] = useState('');
  const [removing, setRemoving] = useState(/** @type {{path: string, what: string, then: string} | undefined} */ (undefined));
  const [error, setError] = useState('');
  const load = useCallback(async () => {
    try {
      const [people, keys] = [await api('GET', '/v1/people'), await api('GET', '/v1/keys')];
      setState({people: people.people, keys: keys.keys});
      setError('');
    } catch (fault) {
      setError(/** @type {Error} */ (fault).message);
    }
  }, []);
  useEffect(() => { load(); }, []);
  const act = async (/** @type {Promise<any>} */ doing) => {
    let wrong = '';
    await doing.catch((fault) => { wrong = fault.message; });
    await load();
    setError(wrong);
  };
  const remove = async () => {
    await api('DELETE', /** @type {any} */ (removing).path);
    setRemoving(undefined);
    await load();
  };
  const close = () => {
    setDialog('');
    load();
  };
  return html`<section class="card" aria-label="People">
      <div class="row spread"><h1>People</h1><button class="primary" data-testid="new-person" onClick=${() => setDialog('person')}>Let somebody in</button></div>
      ${error && html`<${Notice} kind="bad">${error}<//>`}
      <div class="scroll" tabindex="0" role="region" aria-label="List of people"><table data-testid="people">
        <thead><tr><th scope="col">Name</th><th scope="col">Role</th><th scope="col">Seen</th><th scope="col"><span class="offscreen">Actions</span></th></tr></thead>
        <tbody>${state?.people.map((/** @type {any} */ p) => html`<tr key=${p.name}><th scope="row">${p.name}${p.via === 'oidc' && html`<small class="muted">company account</small>`}</th>
          <td><select aria-label=${`Role of ${p.name}`} value=${p.role} disabled=${p.via === 'oidc'}
            onChange=${(/** @type {any} */ e) => act(api('PATCH', `/v1/people/${encodeURIComponent(p.name)}`, {role: e.target.value}))}>
            ${roles.map((r) => html`<option key=${r} value=${r}>${r}</option>`)}</select></td>
          <td>${fromNow(p.seen)}</td>
          <td>${p.name !== session.name && html`<button class="danger" aria-label=${`Remove ${p.name}`}
            onClick=${() => setRemoving({path: `/v1/people/${encodeURIComponent(p.name)}`, what: p.name, then: 'They are signed out everywhere. To let them in again, make a new link.'})}>Remove</button>`}</td></tr>`)}</tbody>
      </table></div></section>
    <section class="card" aria-label="API keys">
      <div class="row spread"><h2>API keys</h2><button data-testid="new-key" onClick=${() => setDialog('key')}>New key</button></div>
      <p class="muted">For programs: Prometheus, scripts. They send it as a bearer token.</p>
      <ul class="plain" data-testid="keys">${state?.keys.map((/** @type {any} */ k) => html`<li key=${k.id} class="row spread"><span>${k.name} <span class="muted">${k.role} · by ${k.by}${k.expires ? ` · ends ${fromNow(k.expires)}` : ''}</span></span>
        <button class="danger" aria-label=${`Remove key ${k.name}`}
          onClick=${() => setRemoving({path: `/v1/keys/${encodeURIComponent(k.id)}`, what: `the key ${k.name}`, then: 'Programs that use it are refused from now on.'})}>Remove</button></li>`)}</ul>
    </section>
    ${removing && html`<${Confirm} title=${`Remove ${removing.what}`} submit="Remove" onClose=${() => setRemoving(undefined)} onConfirm=${remove}><p>${removing.then}</p><//>`}
    ${dialog === 'person' && html`<${NewPerson} onClose=${close} />`}
    ${dialog === 'key' && html`<${NewKey} onClose=${close} />`}`;
}

/** @param {{name: string}} props */
function RoleField({name}) {
  return html`<label class="field"><span>Role</span><select name=${name}>${roles.map((r) => html`<option key=${r} value=${r}>${r}</option>`)}</select>
    <small>A viewer sees everything, an operator acts on sites, an administrator makes sites and lets people in.</small></label>`;
}

/** @param {{onClose: () => void}} props */
function NewPerson({onClose}) {
  const [made, setMade] = useState(/** @type {any} */ (undefined));
  const send = async (/** @type {any} */ v) => setMade(await api('POST', '/v1/people', {name: v.name, role: v.role}));
  return html`<${Dialog} title="Let somebody in" onClose=${onClose} id="person-dialog">
    ${made ? html`<p>Give them this link. It works once and ends ${fromNow(made.expires)}.</p>
      <pre class="command" data-testid="person-link">${made.link}</pre><div class="row"><${Copy} text=${made.link} /></div>`
      : html`<${Form} onSubmit=${send} submit="Make a link" id="person-form"><${Field} label="Name" name="name" required=${true} autocapitalize="none" /><${RoleField} name="role" /><//>`}
  <//>`;
}

/** @param {{onClose: () => void}} props */
function NewKey({onClose}) {
  const [made, setMade] = useState(/** @type {any} */ (undefined));
  const send = async (/** @type {any} */ v) => setMade(await api('POST', '/v1/keys', {name: v.name, role: v.role}));
  return html`<${Dialog} title="New key" onClose=${onClose} id="key-dialog">
    ${made ? html`<p>It is shown this once.</p><pre class="command" data-testid="key-secret">${made.key}</pre><div class="row"><${Copy} text=${made.key} label="Copy key" /></div>`
      : html`<${Form} onSubmit=${send} submit="Make a key" id="key-form"><${Field} label="What is it for" name="name" required=${true} /><${RoleField} name="role" /><//>`}
  <//>`;
}

/** Who did what. */
export function Audit() {
  const [entries, setEntries] = useState(/** @type {any[]} */ ([]));
  const [more, setMore] = useState(true);
  const load = async (/** @type {number} */ before) => {
    const got = (await api('GET', `/v1/audit?limit=100${before ? `&before=${before}` : ''}`)).entries;
    setEntries(before ? [...entries, ...got] : got);
    setMore(got.length === 100);
  };
  useEffect(() => { load(0).catch(() => {}); }, []);
  return html`<section class="card" aria-label="Log"><h1>Who did what</h1>
    <div class="scroll" tabindex="0" role="region" aria-label="Audit log"><table data-testid="audit">
      <thead><tr><th scope="col">When</th><th scope="col">Who</th><th scope="col">What</th><th scope="col">From</th></tr></thead>
      <tbody>${entries.map((e) => html`<tr key=${e.seq}><td>${new Date(e.at).toLocaleString()}</td><th scope="row">${e.by}</th>
        <td>${e.action} ${e.target ?? ''} <span class="muted">${e.detail ?? ''}${e.outcome ? ` (${e.outcome})` : ''}</span></td><td>${e.from ?? ''}</td></tr>`)}</tbody>
    </table></div>
    ${more && entries.length > 0 && html`<div class="row"><button onClick=${() => load(entries[entries.length - 1].seq)}>Earlier</button></div>`}
  </section>`;
}
