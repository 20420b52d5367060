/** What the box refused, with its own words for it. */
export class ApiError extends Error {
  /** @param {number} status @param {any} body */
  constructor(status, body) {
    super(body?.error?.message ?? `the box answered ${status}`);
    this.name = 'ApiError';
    this.status = status;
    /** @type {string} */
    this.code = body?.error?.code ?? `http_${status}`;
    this.field = body?.error?.field;
  }
}

/**
 * Calls the box's JSON API, as the person signed in here or with a token.
 * @param {string} method @param {string} path
 * @param {any} [body]
 * @param {{token?: string}} [options]
 * @returns {Promise<any>} undefined for an answer without a body
 */
export async function api(method, path, body, {token} = {}) {
  /** @type {Record<string, string>} */
  const headers = {Accept: 'application/json'};
  if (token) headers.Authorization = `Bearer ${token}`;
  const change = method !== 'GET';
  if (change) headers['Content-Type'] = 'application/json';
  let response;
  try {
    response = await fetch(path, {
      method, headers,
      body: change && method !== 'DELETE' ? JSON.stringify(body ?? {}) : undefined,
      credentials: token ? 'omit' : 'same-origin',
      cache: 'no-store',
    });
  } catch {
    throw new ApiError(0, {error: {code: 'unreachable', message: 'There is no answer. Is this device still on the network?'}});
  }
  const text = await response.text();
  const parsed = text && response.headers.get('Content-Type')?.includes('json') ? JSON.parse(text) : undefined;
  if (!response.ok) throw new ApiError(response.status, parsed);
  return parsed;
}

/**
 * Reads what a link carries behind its #, and takes it out of the address bar
 * and the history: codes and tokens are secrets.
 * @param {string[]} keep  names that may stay visible
 * @returns {Record<string, string>}
 */
export function takeFragment(keep = []) {
  const given = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  const rest = new URLSearchParams(keep.flatMap((name) => (given[name] ? [[name, given[name]]] : [])));
  history.replaceState(null, '', location.pathname + location.search + (rest.size ? `#${rest}` : ''));
  return given;
}
