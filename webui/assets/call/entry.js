import {api, ApiError, takeFragment} from '../common/api.js';

const TOKEN = 'signalbox.call.token';
const NAME = 'signalbox.call.name';

/** What the link to this page carries. The token stays in this tab, for reloading it. */
export function readEntry() {
  const given = takeFragment(['room']);
  if (given.token) sessionStorage.setItem(TOKEN, given.token);
  return {
    invite: given.invite,
    room: given.room ?? '',
    name: given.name ?? sessionStorage.getItem(NAME) ?? '',
    source: /** @type {'camera' | 'picture' | undefined} */ (['camera', 'picture'].find((kind) => kind === given.source)),
    relayOnly: given.relay === 'only',
    transport: given.transport,
    join: given.join === 'now',
  };
}

/** @param {string} name */
export function rememberName(name) {
  sessionStorage.setItem(NAME, name);
}

/** The room may be seen in the address bar, and is there again after a reload. @param {string} room */
export function rememberRoom(room) {
  history.replaceState(null, '', `${location.pathname}#${new URLSearchParams({room})}`);
}

/**
 * Turns the code of an invite into a token of this device's own.
 * @param {string} code
 * @returns {Promise<{rooms: string[], expires: string}>}
 */
export async function redeem(code) {
  const made = await api('POST', '/v1/invites/redeem', {code: code.trim()});
  sessionStorage.setItem(TOKEN, made.token);
  return {rooms: made.rooms, expires: made.expires};
}

/** The rooms a stored token is for; undefined when there is no token. @returns {string[] | undefined} */
export function tokenRooms() {
  const token = sessionStorage.getItem(TOKEN);
  return token ? (claims(token).rooms ?? []) : undefined;
}

/**
 * A source of tokens for one room. An administrator who is signed in here needs
 * no link: the box makes a token on the spot.
 * @param {string} room
 * @returns {Promise<(() => Promise<string>) | undefined>} undefined: to be tried without any
 */
export async function tokenSource(room) {
  const rooms = tokenRooms();
  if (!rooms?.some((pattern) => matches(pattern, room))) {
    const who = await api('GET', '/v1/session');
    if (who.rights?.includes('admin')) return madeTokens(room);
    if (!rooms) return undefined;
  }
  let used = false;
  return async () => {
    const token = sessionStorage.getItem(TOKEN) ?? '';
    const left = (claims(token).exp ?? Infinity) * 1000 - Date.now();
    // Asked again, the box wants another one, whatever the clock here says.
    if (!used && left > 60_000) {
      used = true;
      return token;
    }
    const fresh = await renew(token);
    sessionStorage.setItem(TOKEN, fresh);
    return fresh;
  };
}

/** Whether a pattern, in which * stands for anything, names the room. @param {string} pattern @param {string} room */
function matches(pattern, room) {
  const literal = pattern.split('*').map((part) => part.replace(/\W/g, '\\$&'));
  return new RegExp(`^${literal.join('.*')}$`).test(room);
}

/** @param {string} token */
async function renew(token) {
  try {
    return (await api('POST', '/v1/tokens/renew', {}, {token})).token;
  } catch (error) {
    // The box has the last word on a token that it does not renew.
    if (error instanceof ApiError && error.status >= 400) return token;
    throw error;
  }
}

/** Tokens of one subject: a session goes on only as who it began. @param {string} room */
function madeTokens(room) {
  const subject = `console-${crypto.getRandomValues(new Uint32Array(1))[0].toString(36)}`;
  return async () => (await api('POST', '/v1/tokens', {subject, rooms: [room], rights: ['join', 'send', 'create'], ttl_s: 3600})).token;
}

/** What a token says about itself. It is the box that checks it. @param {string} token @returns {{exp?: number, rooms?: string[]}} */
function claims(token) {
  try {
    return JSON.parse(atob(token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/')));
  } catch {
    return {};
  }
}

/** Forgets the token of this tab. */
export function forgetToken() {
  sessionStorage.removeItem(TOKEN);
}
