/** @typedef {import('./types.js').IceServer} IceServer */
/** @typedef {'any' | 'udp' | 'tcp' | 'tls'} RelayTransport  tls: TLS over TCP */

/**
 * The servers a connection may use. With a relay transport chosen, relays over
 * others are left out; what is no relay (STUN) stays.
 * @param {IceServer[]} servers
 * @param {RelayTransport} [transport]  how to reach the relay; the relay's far side is UDP always
 * @returns {IceServer[]}
 */
export function filterServers(servers, transport = 'any') {
  if (transport === 'any') return servers;
  return servers.flatMap((server) => {
    const urls = [server.urls].flat().filter((url) => (relayTransport(url) ?? transport) === transport);
    return urls.length > 0 ? [{...server, urls}] : [];
  });
}

/**
 * @param {string} url
 * @returns {'udp' | 'tcp' | 'tls' | undefined} undefined for what is no relay
 */
export function relayTransport(url) {
  if (!/^turns?:/.test(url)) return undefined;
  if (url.startsWith('turns:')) return 'tls';
  return /[?&]transport=tcp\b/.test(url) ? 'tcp' : 'udp';
}

/**
 * The type of a candidate line: host, srflx, prflx or relay.
 * @param {string | undefined} line
 */
export function candidateType(line) {
  return / typ (\w+)/.exec(line ?? '')?.[1];
}

/**
 * The types of all candidates inside a description.
 * @param {string | undefined} sdp
 */
export function candidateTypes(sdp) {
  return Array.from((sdp ?? '').matchAll(/^a=candidate:.* typ (\w+)/gm), (match) => match[1]);
}
