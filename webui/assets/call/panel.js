import {html} from '../vendor/preact-htm.js';
import {rate} from '../common/format.js';
import {Badge, Notice} from '../common/ui.js';
import {addressWords, boxKinds, boxWords, connectionKinds, connectionWords, pathWords, sideWords} from './words.js';

/** How one call goes, in figures and words. @param {{party: import('./controller.js').Party}} props */
export function PartyPanel({party}) {
  const {stats, connection, rates, firstFrameMs, reasons} = party;
  const video = stats?.inbound.video;
  return html`<section class="card" aria-label=${`Call with ${party.name}`} data-testid="party" data-connection=${connection}>
    <div class="row spread"><h2>${party.name}</h2><span aria-live="polite"><${Badge} kind=${connectionKinds[connection] ?? 'idle'} id="connection">${connectionWords[connection] ?? connection}<//></span></div>
    ${reasons.map(({code, text}) => html`<${Notice} key=${code} kind="bad" id="reason">${text}<//>`)}
    ${stats?.pair && html`<p class="path" data-testid="path">${pathWords(stats.pair)}</p>`}
    <dl class="facts">
      ${stats?.pair && html`
        <dt>This side</dt><dd data-testid="local">${addressWords(stats.pair.local)}<small class="muted">${sideWords(stats.pair.local)}</small></dd>
        <dt>Other side</dt><dd data-testid="remote">${addressWords(stats.pair.remote)}<small class="muted">${sideWords(stats.pair.remote)}</small></dd>
        <dt>Round trip</dt><dd data-testid="rtt">${stats.pair.rttMs === undefined ? '–' : `${stats.pair.rttMs} ms`}</dd>`}
      <dt>First picture</dt><dd data-testid="first-frame">${firstFrameMs === undefined ? 'not yet' : `after ${firstFrameMs} ms`}</dd>
      ${stats && html`
        <dt>Coming in</dt><dd data-testid="inbound">${rate(rates.inbound)}${video?.width ? `, ${video.width} × ${video.height}, ${video.fps ?? 0} frames/s, ${video.codec ?? ''}` : ''}</dd>
        <dt>Going out</dt><dd data-testid="outbound">${rate(rates.outbound)}${outgoing(stats.outbound.video)}</dd>
        <dt>Lost</dt><dd>${lost(video)}</dd>`}
    </dl></section>`;
}

/** @param {import('../../client/stats.js').Flow | undefined} video */
function outgoing(video) {
  return video?.width ? `, ${video.width} × ${video.height}` : '';
}

/** @param {import('../../client/stats.js').Flow | undefined} video */
function lost(video) {
  const all = (video?.packets ?? 0) + (video?.lost ?? 0);
  return all === 0 ? '–' : `${(((video?.lost ?? 0) / all) * 100).toFixed(1)} % of packets`;
}

/** What happened so far, and how the box is reached. @param {{call: import('./controller.js').CallController}} props */
export function LogPanel({call}) {
  const state = call.box?.state ?? 'idle';
  return html`<section class="card" aria-label="Events">
    <div class="row spread"><h2>Events</h2><span aria-live="polite"><${Badge} kind=${boxKinds[state]} id="box-state">${`Box ${boxWords[state]}`}<//></span></div>
    <ol class="log" tabindex="0" aria-label="Log" data-testid="log">${[...call.log].reverse().map(({at, text}, i) => html`<li key=${call.log.length - i}>
      <time datetime=${at.toISOString()}>${at.toTimeString().slice(0, 8)}</time><span>${text}</span></li>`)}</ol>
  </section>`;
}
