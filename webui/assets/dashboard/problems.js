import {html, useCallback, useEffect, useState} from '../vendor/preact-htm.js';
import {api} from '../common/api.js';
import {fromNow, plural} from '../common/format.js';
import {Badge, Dialog, Field, Form, Notice} from '../common/ui.js';
import {setQuery, useAddress} from './router.js';
import {badges} from './sites.js';

/** What is wrong anywhere, worst first. @param {{session: any, version: any}} props */
export function Problems({session, version}) {
  const {query} = useAddress();
  const [list, setList] = useState(/** @type {any[] | undefined} */ (undefined));
  const [acking, setAcking] = useState(/** @type {any} */ (undefined));
  const [error, setError] = useState('');
  const load = useCallback(async () => {
    try {
      setList((await api('GET', '/v1/problems')).problems);
      setError('');
    } catch (fault) {
      setError(/** @type {Error} */ (fault).message);
    }
  }, []);
  useEffect(() => { load(); }, [version]);
  const shown = list?.filter((p) => (!query.new || !p.acked) && (!query.site || p.site === query.site));
  const mayAct = session.role !== 'viewer';
  return html`<section class="card" aria-label="Problems">
    <div class="row spread"><h1>${list ? plural(shown?.length ?? 0, 'problem') : 'Problems'}</h1>
      <label class="check"><input type="checkbox" checked=${Boolean(query.new)} onChange=${(/** @type {any} */ e) => setQuery({new: e.target.checked ? '1' : ''})} />only what nobody knows yet</label></div>
    ${error && html`<${Notice} kind="bad">${error}<//>`}
    ${shown?.length === 0 && html`<p class="muted">Nothing is wrong.</p>`}
    <ul class="plain problems" data-testid="problems">${shown?.map((p) => html`<li key=${p.id} class="problem" data-testid="problem" data-id=${p.id} data-kind=${p.kind}>
      <div class="row"><${Badge} kind=${badges[/** @type {keyof typeof badges} */ (p.health)]}>${p.health === 'red' ? 'act' : 'look'}<//>
        <a href=${`/site/${encodeURIComponent(p.site)}`}>${p.title || p.site}</a><span class="muted">for ${fromNow(p.since).replace(' ago', '')}</span></div>
      <p><strong>${p.text}</strong> ${p.advice}</p>
      ${p.acked ? html`<p class="muted" data-testid="acked">${p.acked.by} knows since ${fromNow(p.acked.at)}${p.acked.note && `: ${p.acked.note}`}</p>`
        : mayAct && html`<div class="row"><button data-testid="ack" onClick=${() => setAcking(p)}>I know</button></div>`}
    </li>`)}</ul>
    ${acking && html`<${AckDialog} problem=${acking} onClose=${() => setAcking(undefined)} done=${load} />`}
  </section>`;
}

/** @param {{problem: any, onClose: () => void, done: () => Promise<void>}} props */
function AckDialog({problem, onClose, done}) {
  const send = async (/** @type {any} */ v) => {
    await api('PUT', `/v1/problems/${encodeURIComponent(problem.id)}/ack`, {note: v.note});
    onClose();
    await done();
  };
  return html`<${Dialog} title="Known" onClose=${onClose} id="ack-dialog">
    <p>${problem.text}</p>
    <${Form} onSubmit=${send} submit="Keep" id="ack-form"><${Field} label="Note" name="note" maxlength="500" hint="For the others: who is on it, until when" /><//>
  <//>`;
}
