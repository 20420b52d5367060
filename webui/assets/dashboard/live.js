import {api, ApiError} from '../common/api.js';

/** How often the state is asked for while the stream is down. */
const POLL_MS = 5000;
/** A stream that was refused is opened again after this long. */
const REOPEN_MS = 4000;

/**
 * Follows all sites: the whole at first, then the rows that change. Any cloud
 * node may answer; the browser says in Last-Event-ID what it has seen.
 * @param {{overview: (overview: any) => void, link: (how: 'live' | 'asking' | 'lost') => void, signedOut: () => void}} handlers
 * @returns {() => void}
 */
export function watchSites(handlers) {
  let over = false;
  /** @type {any} */
  let state;
  /** @type {EventSource | undefined} */
  let stream;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let pollTimer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let reopenTimer;

  const show = (/** @type {any} */ next) => {
    state = next;
    handlers.overview(next);
  };
  const ask = async () => {
    clearTimeout(pollTimer);
    try {
      const overview = await api('GET', '/v1/overview');
      if (over) return;
      show(overview);
      handlers.link('asking');
    } catch (error) {
      if (over) return;
      if (/** @type {ApiError} */ (error).status === 401) return handlers.signedOut();
      handlers.link('lost');
    }
    if (stream?.readyState !== EventSource.OPEN) pollTimer = setTimeout(ask, POLL_MS);
  };
  const open = () => {
    clearTimeout(reopenTimer);
    stream?.close();
    stream = new EventSource('/v1/events');
    stream.addEventListener('open', () => clearTimeout(pollTimer));
    stream.addEventListener('overview', (event) => {
      handlers.link('live');
      show(JSON.parse(event.data));
    });
    stream.addEventListener('change', (event) => {
      handlers.link('live');
      if (state) show(merge(state, JSON.parse(event.data)));
    });
    stream.addEventListener('error', () => {
      // The browser opens a cut stream again by itself, but not a refused one.
      if (stream?.readyState === EventSource.CLOSED) reopenTimer = setTimeout(open, REOPEN_MS);
      ask();
    });
  };
  open();
  return () => {
    over = true;
    stream?.close();
    clearTimeout(pollTimer);
    clearTimeout(reopenTimer);
  };
}

const ranks = {red: 0, amber: 1, waiting: 2, green: 3};

/** Worst first, then by name. @param {any} a @param {any} b */
export function byNeed(a, b) {
  const rank = (/** @type {any} */ row) => ranks[/** @type {keyof typeof ranks} */ (row.health)] + (row.acked && row.health !== 'green' ? 0.5 : 0);
  return rank(a) - rank(b) || a.site.localeCompare(b.site);
}

/** Puts changed rows into the overview. @param {any} state @param {any} change */
export function merge(state, change) {
  const rows = new Map(state.sites.map((/** @type {any} */ row) => [row.site, row]));
  for (const row of change.sites) rows.set(row.site, row);
  for (const site of change.removed ?? []) rows.delete(site);
  return {...state, ...change, sites: [...rows.values()].sort(byNeed)};
}
