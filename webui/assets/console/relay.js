import {html, useCallback, useEffect, useState} from '../vendor/preact-htm.js';
import {api} from '../common/api.js';
import {bytes, duration, plural} from '../common/format.js';
import {Badge} from '../common/ui.js';

/** So many peers are named in a row; a client that asks for many has no more of the page. */
const PEERS = 3;

/** Who sends through the box, and how to end that. @param {{status: any}} props */
export function Relay({status}) {
  const [list, setList] = useState(/** @type {any} */ (undefined));
  const load = useCallback(async () => setList(await api('GET', '/v1/relay/allocations')), []);
  const {relay} = status;
  // The state tells how many there are; whose they are is asked for when that changes, and now and then.
  useEffect(() => {
    load().catch(() => {});
    const timer = setInterval(() => load().catch(() => {}), 5_000);
    return () => clearInterval(timer);
  }, [relay.allocations, status.started]);
  if (!relay.enabled) return null;
  const drain = () => api('POST', '/v1/relay/drain', {drain: !relay.draining}).catch(() => {});
  const end = async (/** @type {number} */ id) => {
    await api('DELETE', `/v1/relay/allocations/${id}`).catch(() => {});
    await load();
  };
  const allocations = list?.allocations ?? [];
  return html`<section class="card" aria-label="Relay" data-testid="relay">
    <div class="row spread"><h2>Relay</h2><div class="row">
      ${relay.draining && html`<${Badge} kind="warn" id="draining">${relay.stopping ? 'draining, then the box stops' : 'draining'}<//>`}
      <button data-testid="drain" aria-pressed=${String(relay.draining)} onClick=${drain}>${relay.draining ? 'Take new calls' : 'Drain'}</button></div></div>
    ${list && allocations.length === 0 && html`<p class="muted">${relay.draining ? 'No addresses are lent, and no new ones are: the relay is drained.'
      : 'No addresses are lent. Devices that cannot reach each other directly get one here and send through the box.'}</p>`}
    ${relay.draining && allocations.length > 0 && html`<p class="muted">No new addresses are lent. Calls that are under way go on.</p>`}
    ${allocations.length > 0 && html`<div class="scroll" tabindex="0" role="region" aria-label="List of allocations"><table data-testid="allocations">
      <thead><tr><th scope="col">User</th><th scope="col">Client</th><th scope="col">Relayed address</th><th scope="col">Peers</th><th scope="col">Sent</th><th scope="col">Received</th><th scope="col">Age</th><th scope="col"><span class="offscreen">Actions</span></th></tr></thead>
      <tbody>${allocations.map((/** @type {any} */ a) => html`<tr key=${a.id} data-testid="allocation" data-id=${a.id}>
        <th scope="row">${a.user}</th><td>${a.client}<small class="muted">${a.transport}</small></td><td>${a.relayed.join(', ')}</td>
        <td><${Peers} of=${a} /></td><td>${bytes(a.sent.bytes)}</td><td>${bytes(a.received.bytes)}</td><td>${duration(a.age_s)}</td>
        <td><div class="row end"><button class="danger" aria-label=${`End the allocation of ${a.user} at ${a.client}`} onClick=${() => end(a.id)}>End</button></div></td></tr>`)}
      </tbody></table></div>`}
    ${list?.next && html`<p class="muted">These are the oldest ${allocations.length} of ${plural(relay.allocations, 'allocation')}; "signalbox status --allocations" lists them all.</p>`}
  </section>`;
}

/** Those a client has a channel to, then those it only lets in. @param {{of: any}} props */
function Peers({of: {channels, permissions}}) {
  const bound = channels.map((/** @type {any} */ c) => c.peer);
  const hosts = new Set(bound.map((/** @type {string} */ peer) => peer.replace(/^\[?(.*?)\]?:\d+$/, '$1')));
  const all = [...bound, ...permissions.filter((/** @type {string} */ addr) => !hosts.has(addr))];
  if (all.length === 0) return html`<span class="muted">none yet</span>`;
  return html`<ul class="plain">${all.slice(0, PEERS).map((peer) => html`<li key=${peer}>${peer}</li>`)}
    ${all.length > PEERS && html`<li class="muted">and ${all.length - PEERS} more</li>`}</ul>`;
}
