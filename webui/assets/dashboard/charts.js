import {html, useEffect, useRef, useState} from '../vendor/preact-htm.js';
import {api} from '../common/api.js';
import {bytes, count, rate} from '../common/format.js';
import {Notice} from '../common/ui.js';

const spans = {'24h': 'a day', '7d': 'a week', '90d': '90 days', '2y': 'two years'};

/** What is drawn: one chart a line. */
const charts = [
  {title: 'Devices and rooms', metrics: ['sessions.online', 'rooms.open', 'rooms.members']},
  {title: 'Relay', metrics: ['relay.bps', 'relay.allocations']},
  {title: 'Processor and memory', metrics: ['box.cpu_permille', 'box.rss_bytes']},
  {title: 'Frames that wait for the cloud', metrics: ['upstream.queue_frames']},
];

const lines = {
  'sessions.online': {name: 'devices', colour: '--accent', show: count},
  'rooms.open': {name: 'rooms', colour: '--good', show: count},
  'rooms.members': {name: 'members', colour: '--warn', show: count},
  'relay.bps': {name: 'relayed', colour: '--accent', show: rate},
  'relay.allocations': {name: 'allocations', colour: '--good', show: count},
  'box.cpu_permille': {name: 'processor', colour: '--accent', show: (/** @type {number} */ n) => `${(n / 10).toFixed(1)} %`},
  'box.rss_bytes': {name: 'memory', colour: '--good', show: bytes},
  'upstream.queue_frames': {name: 'frames', colour: '--warn', show: count},
};

/** Charts of a site over a span of time. @param {{site: string, version: any}} props */
export function Charts({site, version}) {
  const [span, setSpan] = useState('24h');
  const [series, setSeries] = useState(/** @type {any} */ (undefined));
  const [error, setError] = useState('');
  useEffect(() => {
    let over = false;
    const metrics = charts.flatMap((c) => c.metrics).join(',');
    api('GET', `/v1/sites/${encodeURIComponent(site)}/series?metrics=${metrics}&span=${span}`)
      .then((got) => { if (!over) { setSeries(got); setError(''); } })
      .catch((fault) => { if (!over) setError(fault.message); });
    return () => { over = true; };
  }, [site, span, Math.floor((version ?? 0) / 10)]);
  return html`<section class="card" aria-label="Charts">
    <div class="row spread"><h2>Over time</h2>
      <div class="row" role="group" aria-label="Span">${Object.entries(spans).map(([value, text]) => html`
        <button key=${value} aria-pressed=${span === value} class=${span === value ? 'primary' : ''} onClick=${() => setSpan(value)}>${text}</button>`)}</div></div>
    ${error && html`<${Notice} kind="bad">${error}<//>`}
    ${series && html`<div class="charts" data-testid="charts">${charts.map((chart) => html`<${Chart} key=${chart.title} chart=${chart} series=${series} />`)}</div>`}
  </section>`;
}

/** @param {{chart: typeof charts[0], series: any}} props */
function Chart({chart, series}) {
  const box = useRef(/** @type {HTMLDivElement | null} */ (null));
  useEffect(() => {
    const holder = box.current;
    if (!holder) return undefined;
    const style = getComputedStyle(document.documentElement);
    const colour = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
    const found = chart.metrics.map((metric) => series.lines.find((/** @type {any} */ l) => l.metric === metric)).filter(Boolean);
    const axis = {stroke: colour('--soft'), grid: {stroke: colour('--line'), width: 1}, ticks: {stroke: colour('--line'), width: 1}};
    // Each line has a scale of its own: they count different things.
    const options = {
      width: holder.clientWidth || 320, height: 190, legend: {live: true},
      scales: Object.fromEntries(found.map((l) => [l.metric, {range: (/** @type {any} */ _u, /** @type {number} */ _min, /** @type {number} */ max) => [0, Math.max(max || 0, 1) * 1.1]}])),
      axes: [axis, ...found.slice(0, 2).map((l, i) => ({
        ...axis, scale: l.metric, side: i === 0 ? 3 : 1, size: 76, grid: i === 0 ? axis.grid : {show: false},
        values: (/** @type {any} */ _u, /** @type {number[]} */ ticks) => ticks.map((n) => (n === null ? '' : kind(l.metric).show(n))),
      }))],
      series: [{}, ...found.map((l) => ({
        label: kind(l.metric).name, scale: l.metric, stroke: colour(kind(l.metric).colour), width: 2, spanGaps: false,
        value: (/** @type {any} */ _u, /** @type {number | null} */ n) => (n === null ? '–' : kind(l.metric).show(n)),
      }))],
    };
    const UPlot = /** @type {any} */ (globalThis).uPlot;
    const plot = new UPlot(options, [series.times, ...found.map((l) => l.values)], holder);
    const watch = new ResizeObserver(() => plot.setSize({width: holder.clientWidth, height: 190}));
    watch.observe(holder);
    return () => {
      watch.disconnect();
      plot.destroy();
    };
  }, [series]);
  return html`<figure class="chart" data-testid="chart"><figcaption>${chart.title}</figcaption><div ref=${box}></div></figure>`;
}

/** @param {string} metric */
function kind(metric) {
  return lines[/** @type {keyof typeof lines} */ (metric)];
}
