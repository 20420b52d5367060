import {html, useEffect, useRef, useState} from '../vendor/preact-htm.js';

/** The pictures: the others large, one's own in the corner. @param {{call: import('./controller.js').CallController}} props */
export function Stage({call}) {
  return html`<div class="stage" data-testid="stage">
    ${call.parties.map((party) => html`<${Tile} key=${party.member + party.orphan} party=${party} call=${call} />`)}
    ${call.parties.length === 0 && html`<div class="waiting" data-testid="waiting">
      <p class="pulse" aria-hidden="true">●</p><h2>Waiting for the other side</h2>
      <p>Open this room on another device: scan an invite from the console, or open the same link there.</p></div>`}
    ${call.source && html`<${Self} stream=${call.source.stream} />`}
  </div>`;
}

/** @param {{party: import('./controller.js').Party, call: import('./controller.js').CallController}} props */
function Tile({party, call}) {
  const ref = useRef(/** @type {HTMLVideoElement | null} */ (null));
  const [silent, setSilent] = useState(false);
  useEffect(() => {
    const video = /** @type {HTMLVideoElement} */ (ref.current);
    video.srcObject = party.stream;
    call.watch(party, video);
    play(video).then((sound) => setSilent(!sound));
  }, [party]);
  const unmute = () => {
    /** @type {HTMLVideoElement} */ (ref.current).muted = false;
    setSilent(false);
  };
  return html`<div class="tile" data-testid="tile"><video ref=${ref} autoplay playsinline aria-label=${`Picture of ${party.name}`}></video>
    <span class="label">${party.name}</span>
    ${party.connection !== 'connected' && html`<div class="over"><span class="pulse">${party.connection === 'failed' ? 'No connection' : 'Connecting…'}</span></div>`}
    ${silent && html`<div class="over"><button class="primary" onClick=${unmute}>Turn the sound on</button></div>`}</div>`;
}

/** Plays, without sound where the browser wants a click first. @param {HTMLVideoElement} video */
async function play(video) {
  try {
    await video.play();
    return true;
  } catch (error) {
    if (/** @type {DOMException} */ (error).name !== 'NotAllowedError') return true;
    video.muted = true;
    await video.play().catch(() => {});
    return false;
  }
}

/** @param {{stream: MediaStream}} props */
function Self({stream}) {
  const ref = useRef(/** @type {HTMLVideoElement | null} */ (null));
  useEffect(() => {
    const video = /** @type {HTMLVideoElement} */ (ref.current);
    video.muted = true;
    video.srcObject = stream;
    video.play().catch(() => {});
  }, [stream]);
  return html`<div class="self"><video ref=${ref} autoplay playsinline aria-label="Your own picture"></video></div>`;
}
