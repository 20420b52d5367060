import {useEffect, useState} from '../vendor/preact-htm.js';

/** Told when the address changes by one of the functions here. */
const listeners = new Set();

/** The page's path and what stands after its question mark. */
export function useAddress() {
  const [, again] = useState(0);
  useEffect(() => {
    const look = () => again((n) => n + 1);
    listeners.add(look);
    addEventListener('popstate', look);
    return () => {
      listeners.delete(look);
      removeEventListener('popstate', look);
    };
  }, []);
  return {path: location.pathname, query: Object.fromEntries(new URLSearchParams(location.search))};
}

/**
 * The site that a path names. What is no encoding of a name, as in a link that
 * was cut off, is no site's name either: it stays as it is, to be told.
 * @param {string} path
 */
export function siteOf(path) {
  const name = path.slice('/site/'.length);
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

/** Goes to another page. @param {string} to a path with its query */
export function go(to) {
  history.pushState(null, '', to);
  scrollTo(0, 0);
  for (const look of listeners) look();
}

/**
 * Keeps filters in the address, so that it can be sent to somebody; an empty
 * value takes a filter out.
 * @param {Record<string, string>} changes
 */
export function setQuery(changes) {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value) query.set(name, value);
    else query.delete(name);
  }
  const text = query.toString();
  history.replaceState(null, '', location.pathname + (text ? `?${text}` : ''));
  for (const look of listeners) look();
}

/** For links within the page: the browser's own ways (new tab, copy) keep working. @param {MouseEvent} event */
export function follow(event) {
  if (event.defaultPrevented || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  const link = /** @type {HTMLElement} */ (event.target).closest('a');
  if (!link || link.origin !== location.origin || link.target || link.hasAttribute('download') || link.pathname.startsWith('/v1/')) return;
  if (link.hash && link.pathname === location.pathname) return;
  event.preventDefault();
  go(link.pathname + link.search);
}
