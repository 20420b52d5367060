/**
 * Why a call does not come about, in the order of how likely it is the cause.
 * `code` is for programs, `text` says what is wrong and what to do.
 * @typedef {{code: string, text: string}} Reason
 */

/**
 * @typedef {object} Evidence
 * @property {import('./peer.js').Peer['facts']} facts
 * @property {string} connection   RTCPeerConnection.connectionState
 * @property {boolean} relayOnly
 * @property {boolean} relayOffered  whether the box handed out a relay for the chosen transport
 * @property {boolean} online      whether the box can be reached
 * @property {boolean} present     whether the other side is in the room and not suspended
 */

/**
 * @param {Evidence} evidence
 * @returns {Reason[]} what stands in the way of a connection that does not come, or has failed
 */
export function diagnose({facts, connection, relayOnly, relayOffered, online, present}) {
  /** @type {Reason[]} */
  const reasons = [];
  const add = (/** @type {string} */ code, /** @type {string} */ text) => reasons.push({code, text});
  const sum = (/** @type {Record<string, number>} */ counts) => Object.values(counts).reduce((a, b) => a + b, 0);

  if (!online) add('box_unreachable', 'The box cannot be reached, so offers and answers wait. The page keeps trying.');
  if (!present) add('other_suspended', 'The other side has lost its connection to the box. It has a minute to come back.');
  if (facts.receipt === 'absent') add('absent', 'The other side has left the room.');
  if (facts.offered && !facts.answered) add('no_answer', 'The other side has not answered the offer. Is its page open and allowed to run?');
  if (relayOnly && !relayOffered) {
    add('no_relay_offered', 'Relay only is chosen, and the box offers no relay for this transport. Choose another transport, or see whether the relay is switched on.');
  } else if (relayOnly && !facts.local.relay) {
    add('no_relay_candidate', `Relay only is chosen, and the relay gave this side no address${relayErrors(facts)}. Does a firewall block port 3478?`);
  } else if (sum(facts.local) === 0 && facts.offered) {
    add('no_candidates', 'This side found no address of its own. Is it connected to a network?');
  }
  if (facts.answered && sum(facts.remote) === 0) {
    add('no_remote_candidates', 'The other side sent no address. If it uses the relay only, its relay is out of reach.');
  }
  if (connection !== 'connected' && reasons.length === 0) {
    if (facts.connected) add('lost', 'The connection was there and is lost. Another way is being looked for.');
    else if (!facts.local.relay && !facts.remote.relay) {
      add('no_way', `The two sides cannot reach each other directly, and neither got a relay address${relayErrors(facts)}. Does a firewall block port 3478?`);
    } else add('ice_failed', 'No pair of addresses has worked, not even through the relay. Does a firewall block the relay\'s ports 49152 to 65535?');
  }
  return reasons;
}

/** What the relay answered, when it did. @param {Evidence['facts']} facts */
function relayErrors({errors}) {
  const last = errors.filter(({url}) => /^turns?:/.test(url)).at(-1);
  if (!last) return '';
  // 701 is the browser's own code for a server that it could not reach.
  return last.code === 701 ? ` (${last.url} cannot be reached)` : ` (${last.url} answered ${last.code} ${last.text})`;
}
