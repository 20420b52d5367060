// Generations order the negotiations of a pair (PROTOCOL.md §5). Of two offers
// that cross, the impolite side's is the higher one, so "the higher generation
// wins" is the only rule there is.

/**
 * The generation of a new offer.
 * @param {number} current  the highest sent or received in this pair, 0 at first
 * @param {boolean} polite
 */
export function nextGeneration(current, polite) {
  return 2 * (Math.floor(current / 2) + 1) + (polite ? 0 : 1);
}

/**
 * What names the RTCPeerConnection a description comes from: it is chosen at
 * random once and stays for its life (RFC 8829 §5.2.1).
 * @param {string | undefined} sdp
 */
export function origin(sdp) {
  return /^o=\S+ (\S+)/m.exec(sdp ?? '')?.[1];
}

/**
 * The ICE user fragments in a description. A candidate carries one too, which
 * tells the description it belongs to.
 * @param {string | undefined} sdp
 */
export function ufrags(sdp) {
  return Array.from((sdp ?? '').matchAll(/^a=ice-ufrag:(\S+)/gm), (match) => match[1]);
}
