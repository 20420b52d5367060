import {html, useCallback, useEffect, useState} from '../vendor/preact-htm.js';
import {api} from '../common/api.js';
import {bytes, count, duration, fromNow, plural, rate} from '../common/format.js';
import {Badge, Notice} from '../common/ui.js';
import {BoxActions, PolicyForm} from './act.js';
import {Charts} from './charts.js';
import {NewBox} from './newsite.js';
import {badges, Figure, words} from './sites.js';
import {Strip} from './strip.js';

/** How often the page asks while a command waits for its box. */
const ANSWER_MS = 3000;

/** One site. `row` is as live as the overview. @param {{site: string, row: any, session: any}} props */
export function SitePage({site, row, session}) {
  const [page, setPage] = useState(/** @type {any} */ (undefined));
  const [adding, setAdding] = useState(false);
  const [error, setError] = useState('');
  const load = useCallback(async () => {
    try {
      setPage(await api('GET', `/v1/sites/${encodeURIComponent(site)}`));
      setError('');
    } catch (fault) {
      setError(/** @type {Error} */ (fault).message);
    }
  }, [site]);
  const version = JSON.stringify(row?.boxes.map((/** @type {any} */ b) => [b.seen, b.policy, b.policy_wanted, b.online, b.online_since]));
  useEffect(() => { load(); }, [version]);
  const waits = page?.commands.some((/** @type {any} */ c) => c.state === 'waiting');
  useEffect(() => { // an answer changes nothing that the overview shows
    if (!waits) return undefined;
    const timer = setInterval(load, ANSWER_MS);
    return () => clearInterval(timer);
  }, [waits, load]);
  const live = useLive(site);
  const now = row ?? page?.row;
  if (!now) return html`<${Notice} kind=${error ? 'bad' : 'info'}>${error || 'Asking for the site…'}<//>`;
  return html`<div class="row spread"><h1>${now.title || now.site}</h1>
      <div class="row"><${Badge} kind=${badges[/** @type {keyof typeof badges} */ (now.health)]} id="site-health">${words[/** @type {keyof typeof words} */ (now.health)]}<//>
      ${session.role === 'administrator' && html`<button data-testid="new-box" onClick=${() => setAdding(true)}>Add a box</button>`}</div></div>
    ${now.why.map((/** @type {any} */ why) => html`<${Notice} key=${why.kind + why.box} kind=${why.health === 'red' ? 'bad' : 'warn'} id="reason">
      <strong>${why.text}</strong> ${why.advice}${why.acked && html` <span>(${why.acked.by} knows${why.acked.note && `: ${why.acked.note}`})</span>`}<//>`)}
    <section class="card" aria-label="Last 24 hours"><h2>Last 24 hours</h2><${Strip} strip=${now.strip} label=${now.title || now.site} />
      <p class="muted">Low marks came later than they happened: the box was cut off from the cloud and told what it had seen meanwhile.</p></section>
    <${Now} now=${now} live=${live} />
    ${now.boxes.map((/** @type {any} */ box) => html`<${BoxCard} key=${box.box} site=${site} box=${box} session=${session} done=${load} />`)}
    <${Charts} site=${site} version=${page?.seq} />
    ${page && html`<${Rooms} rooms=${page.rooms} level=${now.boxes[0]?.level} />
      <${PolicyForm} site=${site} policy=${page.policy} session=${session} done=${load} />
      <${Commands} commands=${page.commands} />
      <${Events} events=${page.events} />`}
    ${adding && html`<${NewBox} site=${site} onClose=${() => setAdding(false)} />`}`;
}

/** Values of the second while the page is open. @param {string} site */
function useLive(site) {
  const [live, setLive] = useState(/** @type {Record<string, any>} */ ({}));
  useEffect(() => {
    const stream = new EventSource(`/v1/sites/${encodeURIComponent(site)}/live`);
    stream.addEventListener('live', (event) => {
      const got = JSON.parse(event.data);
      setLive((old) => ({...old, [got.box]: got}));
    });
    return () => stream.close();
  }, [site]);
  return live;
}

/** @param {{now: any, live: Record<string, any>}} props */
function Now({now, live}) {
  const boxes = Object.values(live);
  const of = (/** @type {string} */ metric, /** @type {number} */ other) =>
    (boxes.length ? boxes.reduce((n, b) => n + (b.gauges[metric] ?? 0), 0) : other);
  return html`<section aria-label="Now" class="figures" data-testid="now" data-live=${boxes.length > 0}>
    <${Figure} id="sessions" label="Devices connected" value=${count(of('sessions.online', now.sessions))} note=${`${count(now.devices)} different ones today`} />
    <${Figure} id="rooms" label="Rooms" value=${count(of('rooms.open', now.rooms))} note=${plural(of('rooms.members', now.members), 'member')} />
    <${Figure} id="relay" label="Relayed" value=${rate(of('relay.bps', now.relay_bits))} note=${boxes.length ? 'as of this second' : 'as of the last frame'} />
  </section>`;
}

/** @param {{site: string, box: any, session: any, done: () => Promise<void>}} props */
function BoxCard({site, box, session, done}) {
  return html`<section class="card" aria-label=${`Box ${box.name || box.box}`} data-testid="box" data-box=${box.box}>
    <div class="row spread"><h2>Box ${box.name || box.box}</h2>${box.online ? html`<${Badge} kind="good">connected<//>` : html`<${Badge} kind="bad">not connected<//>`}</div>
    <dl class="facts">
      <dt>Id</dt><dd>${box.box}</dd>
      <dt>Version</dt><dd>${box.version || '–'} ${box.arch && `on ${box.arch}`}</dd>
      <dt>Seen</dt><dd>${fromNow(box.seen)}${box.started && ` · up ${duration((Date.now() - Date.parse(box.started)) / 1000)}`}</dd>
      ${box.online_since && html`<dt>${box.online ? 'Connected' : 'Not connected'}</dt><dd>since ${new Date(box.online_since).toLocaleString()}</dd>`}
      <dt>Link</dt><dd>${box.link || '–'} · ${plural(box.queue_frames, 'frame')} waiting, ${bytes(box.queue_bytes)} of ${bytes(box.queue_limit_bytes)}</dd>
      <dt>Policy</dt><dd data-testid="policy-state">${box.policy === box.policy_wanted ? (box.policy ? `revision ${box.policy} in force` : 'none wanted') : `revision ${box.policy_wanted} wanted, ${box.policy || 'none'} in force`}${box.policy_fault && `: ${box.policy_fault}`}</dd>
      <dt>Certificate</dt><dd>ends ${fromNow(box.certificate_end)}</dd>
      <dt>Disk</dt><dd>${bytes(box.disk_free_bytes)} of ${bytes(box.disk_total_bytes)} free · ${bytes(box.written_bytes_day)} written in a day</dd>
      <dt>Processor, memory</dt><dd>${(box.cpu_permille / 10).toFixed(1)} % · ${bytes(box.rss_bytes)}</dd>
      <dt>Clock</dt><dd>${(box.clock_skew_ms / 1000).toFixed(1)} s off</dd>
      <dt>Backup</dt><dd>${fromNow(box.last_backup)}${box.cloud_backup ? ` · at the cloud ${fromNow(box.cloud_backup)}` : ''}</dd>
      ${box.refused > 0 && html`<dt>Not accepted</dt><dd>${plural(box.refused, 'batch', 'batches')}</dd>`}
    </dl>
    <${BoxActions} site=${site} box=${box} session=${session} done=${done} />
  </section>`;
}

/** @param {{rooms: any[], level?: string}} props */
function Rooms({rooms, level}) {
  return html`<section class="card" aria-label="Rooms"><h2>Rooms</h2>
    ${rooms.length === 0 && html`<p class="muted">${level === 'minimal' ? 'At privacy level minimal rooms are only counted.' : 'No rooms.'}</p>`}
    ${rooms.length > 0 && html`<div class="scroll" tabindex="0" role="region" aria-label="List of rooms"><table data-testid="rooms">
      <thead><tr><th scope="col">Room</th><th scope="col">Members</th><th scope="col">Since</th></tr></thead>
      <tbody>${rooms.map((r) => html`<tr key=${r.box + r.id}><th scope="row">${r.id}</th><td>${count(r.members)}</td><td>${fromNow(r.created)}</td></tr>`)}</tbody></table></div>
      ${level === 'default' && html`<p class="muted">At privacy level default names stay at the site; these stand for them.</p>`}`}
  </section>`;
}

/** @param {{commands: any[]}} props */
function Commands({commands}) {
  if (commands.length === 0) return null;
  return html`<section class="card" aria-label="Commands"><h2>Commands</h2><ul class="plain log" data-testid="commands">
    ${commands.map((c) => html`<li key=${c.id}><time>${new Date(c.at).toLocaleTimeString()}</time><span>${c.name} on ${c.box}, by ${c.by}: <strong>${c.state}</strong> ${c.text ?? ''}</span></li>`)}</ul></section>`;
}

/** @param {{events: any[]}} props */
function Events({events}) {
  return html`<section class="card" aria-label="Events"><h2>Events</h2>
    ${events.length === 0 && html`<p class="muted">Nothing has happened yet.</p>`}
    ${events.some((e) => e.late) && html`<p class="muted">What is marked “told late” the box told after it had been cut off from the cloud.</p>`}
    <ul class="plain events" data-testid="events">${events.map((e) => html`<li key=${`${e.at}${e.kind}${e.box}${e.raised}`}>
      <time>${new Date(e.at).toLocaleString()}</time><span>${e.raised ? '' : 'Over: '}${e.text}${e.late && html` <${Badge} kind="idle">told late<//>`}</span></li>`)}</ul></section>`;
}
