import {html, useState} from '../vendor/preact-htm.js';
import {bytes, count, fromNow, plural, rate} from '../common/format.js';
import {Badge} from '../common/ui.js';
import {NewSite} from './newsite.js';
import {setQuery, useAddress} from './router.js';
import {Strip} from './strip.js';

export const badges = {red: 'bad', amber: 'warn', green: 'good', waiting: 'idle'};
export const words = {red: 'needs help', amber: 'look at it', green: 'well', waiting: 'waits for its box'};

/** All sites, the worst first. @param {{overview: any, session: any}} props */
export function Sites({overview, session}) {
  const {query} = useAddress();
  const [making, setMaking] = useState(false);
  const shown = overview.sites.filter((/** @type {any} */ row) => fits(row, query));
  const versions = [...new Set(overview.sites.flatMap((/** @type {any} */ row) => row.boxes.map((/** @type {any} */ b) => b.version)).filter(Boolean))].sort();
  return html`<h1 class="offscreen">All sites</h1>
    <${Totals} totals=${overview.totals} />
    <section class="card" aria-label="Sites">
      <div class="row spread"><h2>${plural(shown.length, 'site')}${shown.length < overview.sites.length && ` of ${overview.sites.length}`}</h2>
        ${session.role === 'administrator' && html`<button class="primary" data-testid="new-site" onClick=${() => setMaking(true)}>New site</button>`}</div>
      <${Filters} query=${query} versions=${versions} />
      ${overview.sites.length === 0 && html`<p class="muted">No sites yet. ${session.role === 'administrator' ? 'Make one: you get one command to paste at its box.' : 'An administrator can make one.'}</p>`}
      ${overview.sites.length > 0 && shown.length === 0 && html`<p class="muted">No site fits these filters.</p>`}
      <ul class="plain sites" data-testid="sites">${shown.map((/** @type {any} */ row) => html`<${Row} key=${row.site} row=${row} />`)}</ul>
    </section>
    ${making && html`<${NewSite} onClose=${() => setMaking(false)} />`}`;
}

/** @param {any} row @param {Record<string, string>} query */
export function fits(row, query) {
  if (query.health && !query.health.split(',').includes(row.health)) return false;
  if (query.version && !row.boxes.some((/** @type {any} */ b) => b.version === query.version)) return false;
  if (query.drift && !row.boxes.some((/** @type {any} */ b) => b.policy !== b.policy_wanted)) return false;
  const text = (query.q ?? '').trim().toLowerCase();
  if (!text) return true;
  return [row.site, row.title, ...row.boxes.flatMap((/** @type {any} */ b) => [b.box, b.name])].some((name) => name?.toLowerCase().includes(text));
}

/** @param {{query: Record<string, string>, versions: any[]}} props */
function Filters({query, versions}) {
  const on = (/** @type {string} */ name) => (/** @type {any} */ event) => setQuery({[name]: event.target.value});
  return html`<form class="row filters" role="search" aria-label="Filter sites" onSubmit=${(/** @type {Event} */ e) => e.preventDefault()}>
    <label class="field"><span>Find</span><input type="search" name="q" value=${query.q ?? ''} onInput=${on('q')} placeholder="site or box" data-testid="filter-q" /></label>
    <label class="field"><span>State</span><select name="health" value=${query.health ?? ''} onChange=${on('health')} data-testid="filter-health">
      <option value="">any</option><option value="red">needs help</option><option value="red,amber">not well</option><option value="green">well</option><option value="waiting">waiting</option></select></label>
    <label class="field"><span>Version</span><select name="version" value=${query.version ?? ''} onChange=${on('version')} data-testid="filter-version">
      <option value="">any</option>${versions.map((v) => html`<option key=${v} value=${v}>${v}</option>`)}</select></label>
    <label class="check"><input type="checkbox" checked=${Boolean(query.drift)} onChange=${(/** @type {any} */ e) => setQuery({drift: e.target.checked ? '1' : ''})} />policy not in force</label>
  </form>`;
}

/** @param {{totals: any}} props */
function Totals({totals}) {
  return html`<section aria-label="Totals" class="figures">
    <${Figure} id="sites" label="Sites" value=${count(totals.sites)} note=${totals.red || totals.amber ? `${totals.red} need help, ${totals.amber} to look at` : 'all well'} />
    <${Figure} id="boxes" label="Boxes connected" value=${`${count(totals.online)} of ${count(totals.boxes)}`} note=${plural(totals.rooms, 'room')} />
    <${Figure} id="sessions" label="Devices connected" value=${count(totals.sessions)} note=${`${count(totals.members)} in rooms`} />
    <${Figure} id="relay" label="Relayed now" value=${rate(totals.relay_bits)} note=${plural(totals.allocations, 'allocation')} />
  </section>`;
}

/** @param {{id: string, label: string, value: any, note: any}} props */
export function Figure({id, label, value, note}) {
  return html`<div class="card figure" data-testid=${`figure-${id}`}><h2>${label}</h2><p class="value">${value}</p><p class="muted">${note}</p></div>`;
}

/** @param {{row: any}} props */
function Row({row}) {
  const box = row.boxes[0];
  return html`<li class="site-row" data-testid="site-row" data-site=${row.site} data-health=${row.health}>
    <div class="row spread">
      <a class="name" href=${`/site/${encodeURIComponent(row.site)}`}>${row.title || row.site}</a>
      <${Badge} kind=${badges[/** @type {keyof typeof badges} */ (row.health)]}>${words[/** @type {keyof typeof words} */ (row.health)]}${row.acked && row.health !== 'green' ? ', known' : ''}<//>
    </div>
    ${row.why.slice(0, 2).map((/** @type {any} */ why) => html`<p key=${why.kind + why.box} class="why" data-testid="why"><strong>${why.text}</strong> ${why.advice}</p>`)}
    <${Strip} strip=${row.strip} label=${row.title || row.site} />
    <dl class="glance">
      <${Fact} name="Link" value=${!box ? 'no box' : box.online ? (box.link === 'post' ? 'by POST' : 'connected') : `seen ${fromNow(row.seen)}`} />
      <${Fact} name="Queue" value=${box ? plural(sum(row, 'queue_frames'), 'frame') : '–'} />
      <${Fact} name="Version" value=${[...new Set(row.boxes.map((/** @type {any} */ b) => b.version))].filter(Boolean).join(', ') || '–'} />
      <${Fact} name="Policy" value=${row.boxes.some((/** @type {any} */ b) => b.policy !== b.policy_wanted) ? 'not in force' : 'in force'} />
      <${Fact} name="Rooms" value=${`${count(row.rooms)} · ${plural(row.members, 'member')}`} />
      <${Fact} name="Devices" value=${`${count(row.sessions)} now · ${count(row.devices)} today`} />
      <${Fact} name="Relay" value=${rate(row.relay_bits)} />
      <${Fact} name="Certificate" value=${box ? plural(least(row, 'certificate_days'), 'day') : '–'} />
      <${Fact} name="Disk free" value=${box ? bytes(least(row, 'disk_free_bytes')) : '–'} />
      <${Fact} name="Clock off" value=${box ? `${(box.clock_skew_ms / 1000).toFixed(1)} s` : '–'} />
      <${Fact} name="Backup" value=${box ? fromNow(box.last_backup) : '–'} />
    </dl>
  </li>`;
}

/** @param {{name: string, value: any}} props */
function Fact({name, value}) {
  return html`<div><dt>${name}</dt><dd>${value}</dd></div>`;
}

/** @param {any} row @param {string} field */
function sum(row, field) {
  return row.boxes.reduce((/** @type {number} */ n, /** @type {any} */ b) => n + b[field], 0);
}

/** @param {any} row @param {string} field */
function least(row, field) {
  return Math.min(...row.boxes.map((/** @type {any} */ b) => b[field]));
}
