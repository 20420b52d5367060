import {html} from '../vendor/preact-htm.js';

const kinds = {g: 'green', a: 'amber', r: 'red', '-': 'none'};
const names = {green: 'well', amber: 'not as it should be', red: 'bad', none: 'unknown'};

/**
 * The last 24 hours in cells of five minutes. What was told only after an outage
 * of the link is hatched: the box was at work, the cloud did not know.
 * @param {{strip: {end: string, cells: string}, label: string}} props
 */
export function Strip({strip, label}) {
  const cells = strip?.cells ?? '';
  if (!cells) return html`<span class="muted">no history yet</span>`;
  const runs = [];
  for (let i = 0; i < cells.length; i++) {
    const last = runs[runs.length - 1];
    if (last && last.cell === cells[i]) last.length++;
    else runs.push({cell: cells[i], at: i, length: 1});
  }
  const minutes = {green: 0, amber: 0, red: 0, none: 0};
  for (const run of runs) minutes[kindOf(run.cell)] += run.length * 5;
  const said = Object.entries(minutes).filter(([, n]) => n > 0)
    .map(([kind, n]) => `${names[/** @type {keyof typeof names} */ (kind)]} ${n >= 60 ? `${Math.round(n / 60)} h` : `${n} min`}`).join(', ');
  return html`<svg class="strip" viewBox=${`0 0 ${cells.length} 16`} preserveAspectRatio="none" role="img" data-testid="strip" data-cells=${cells}
      aria-label=${`${label}, last 24 hours: ${said}`}>
    ${runs.map((run) => html`<rect key=${run.at} class=${`cell ${kindOf(run.cell)} ${isLate(run.cell) ? 'late' : ''}`}
      x=${run.at} y=${isLate(run.cell) ? 5 : 0} width=${run.length} height=${isLate(run.cell) ? 11 : 16} />`)}
  </svg>`;
}

/** @param {string} cell @returns {keyof typeof names} */
function kindOf(cell) {
  return /** @type {any} */ (kinds[/** @type {keyof typeof kinds} */ (cell.toLowerCase())] ?? 'none');
}

/** @param {string} cell */
function isLate(cell) {
  return cell !== cell.toLowerCase();
}
