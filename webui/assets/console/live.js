import {api, ApiError} from '../common/api.js';

/** How often the state is asked for while the stream is down. */
const POLL_MS = 5000;
/** A stream that was refused is opened again after this long. */
const REOPEN_MS = 8000;

/**
 * Follows the state of the box: by its event stream, and by asking while there
 * is none. Both stop with `stop`.
 * @param {{status: (status: any) => void, link: (how: 'live' | 'asking' | 'lost') => void, signedOut: () => void}} handlers
 * @returns {() => void}
 */
export function follow(handlers) {
  let over = false;
  /** @type {EventSource | undefined} */
  let stream;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let pollTimer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let reopenTimer;

  const ask = async () => {
    clearTimeout(pollTimer);
    try {
      const [status, session] = [await api('GET', '/v1/status'), await api('GET', '/v1/session')];
      if (over) return;
      if (!session.signed_in) return handlers.signedOut();
      handlers.status(status);
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
    stream.addEventListener('status', (event) => {
      handlers.link('live');
      handlers.status(JSON.parse(event.data));
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
