import {html} from '../vendor/preact-htm.js';
import {bytes, count, fromNow, plural} from '../common/format.js';
import {Badge, Notice} from '../common/ui.js';

/** What somebody has to act on, first of all. @param {{status: any}} props */
export function Health({status}) {
  const ailing = status.parts.filter((/** @type {any} */ part) => !part.ok);
  return html`<div data-testid="health" aria-live="polite">
    ${status.store.recovery && html`<${Notice} kind="warn" id="recovery"><strong>The store was repaired.</strong> ${status.store.recovery}<//>`}
    ${ailing.map((/** @type {any} */ part) => html`<${Notice} key=${part.name} kind=${part.required ? 'bad' : 'warn'}>
      <strong>${part.name}:</strong> ${part.reason ?? 'not working'}<//>`)}
  </div>`;
}

/** @param {{status: any}} props */
export function Overview({status}) {
  const {relay, discovery, signaling} = status;
  const announced = discovery.interfaces.filter((/** @type {any} */ i) => i.announced).length;
  return html`<section aria-label="Overview" class="figures">
    <${Figure} id="sessions" label="Devices connected" value=${count(status.sessions - signaling.suspended)}
      note=${signaling.suspended ? `${count(signaling.suspended)} interrupted, may come back` : `${count(signaling.resumed)} came back after a cut`} />
    <${Figure} id="rooms" label="Rooms" value=${count(status.rooms)} note=${plural(status.members, 'member')} />
    <${Figure} id="relay" label="Relay" value=${relay.enabled ? count(relay.allocations) : 'off'}
      note=${relay.enabled ? `${relay.allocations === 1 ? 'address' : 'addresses'} lent · ${bytes(relay.bytes)} passed` : 'calls go directly only'} />
    <${Figure} id="discovery" label="Found by mDNS" value=${discovery.enabled ? plural(announced, 'network') : 'off'}
      note=${discovery.enabled ? discovery.reason || discovery.host || discovery.instance : 'devices need the address'} />
  </section>`;
}

/** @param {{id: string, label: string, value: any, note: any}} props */
function Figure({id, label, value, note}) {
  return html`<div class="card figure" data-testid=${`figure-${id}`}><h2>${label}</h2><p class="value">${value}</p><p class="muted">${note}</p></div>`;
}

/** Every part of the box with its state, and where it listens. @param {{status: any}} props */
export function Parts({status}) {
  const {relay, discovery, store, signaling} = status;
  const frames = Object.values(signaling.frames).reduce((a, b) => a + b, 0);
  return html`<section class="card" aria-label="Parts"><h2>Parts</h2>
    <div class="scroll" tabindex="0" role="region" aria-label="Parts of the box">
    <table data-testid="parts"><thead><tr><th scope="col">Part</th><th scope="col">State</th><th scope="col">Details</th></tr></thead><tbody>
      ${status.parts.map((/** @type {any} */ part) => html`<tr key=${part.name}>
        <th scope="row">${part.name}</th>
        <td>${part.ok ? html`<${Badge} kind="good">working<//>` : html`<${Badge} kind=${part.required ? 'bad' : 'warn'}>${part.required ? 'down' : 'degraded'}<//>`}</td>
        <td>${part.reason || details(part.name, status)}</td></tr>`)}
    </tbody></table></div>
    <details><summary>Addresses and counters</summary><dl class="facts">
      <dt>Pages and signaling</dt><dd>${[...status.https.map((/** @type {string} */ a) => `https ${a}`), ...status.http.map((/** @type {string} */ a) => `http ${a}`)].join(', ')}</dd>
      <dt>Relay</dt><dd>${relay.enabled ? `udp ${relay.udp.join(', ')} · tcp ${relay.tcp.join(', ')} · tls ${[...relay.tls, ...status.https].join(', ')} · ports ${relay.relay_ports}` : 'off'}</dd>
      <dt>Networks</dt><dd>${discovery.interfaces.map((/** @type {any} */ i) => `${i.name} ${i.announced ? 'announced' : i.reason ?? 'not announced'}`).join(', ') || 'none'}</dd>
      <dt>Store</dt><dd>${store.path} · ${bytes(store.bytes)} of ${bytes(store.max_bytes)} · backup ${fromNow(store.last_backup)}</dd>
      <dt>Signaling</dt><dd>${count(frames)} frames taken · ${count(signaling.resumed)} cuts resumed · ${count(signaling.resume_failed + signaling.expired)} sessions lost</dd>
    </dl></details>
  </section>`;
}

/** @param {any} upstream */
function cloud({joined, site, url, connected, way, queue_frames: queue, backup}) {
  if (!joined) return 'not joined to a cloud';
  return `site ${site} · ${connected ? `connected to ${url} by ${way}` : `no connection to ${url}`} · ${plural(queue, 'report')} to send${backup?.on ? ` · backup ${backup.at ? fromNow(backup.at) : 'not sent yet'}${backup.fault ? `, ${backup.fault}` : ''}` : ''}`;
}

/** @param {string} name @param {any} status */
function details(name, status) {
  if (/relay|turn/.test(name)) return status.relay.enabled ? plural(status.relay.allocations, 'allocation') : 'switched off';
  if (/discovery|mdns/.test(name)) return status.discovery.enabled ? status.discovery.instance : 'switched off';
  if (/store/.test(name)) return bytes(status.store.bytes);
  if (/upstream/.test(name)) return cloud(status.upstream);
  if (/signal/.test(name)) return plural(status.conns, 'connection');
  return '';
}
