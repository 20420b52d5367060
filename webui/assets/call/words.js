/** States of a connection in plain words. @type {Record<string, string>} */
export const connectionWords = {
  new: 'getting ready',
  connecting: 'looking for a way',
  connected: 'connected',
  disconnected: 'interrupted',
  failed: 'failed',
  closed: 'ended',
};

/** @type {Record<string, 'good' | 'warn' | 'bad' | 'idle'>} */
export const connectionKinds = {new: 'idle', connecting: 'warn', connected: 'good', disconnected: 'warn', failed: 'bad', closed: 'idle'};

/** @type {Record<string, string>} */
export const boxWords = {
  idle: 'not connected',
  connecting: 'connecting',
  open: 'connected',
  suspended: 'interrupted',
  closed: 'closed',
};

/** @type {Record<string, 'good' | 'warn' | 'bad' | 'idle'>} */
export const boxKinds = {idle: 'idle', connecting: 'warn', open: 'good', suspended: 'warn', closed: 'bad'};

/** @type {Record<string, string>} */
const typeWords = {
  host: 'its own address',
  srflx: 'its address outside a router',
  prflx: 'an address found on the way',
  relay: 'the relay',
};

/**
 * One sentence on the way the media takes.
 * @param {import('../../client/stats.js').CallStats['pair']} pair
 */
export function pathWords(pair) {
  if (!pair) return '';
  const relayed = [pair.local, pair.remote].filter(({type}) => type === 'relay').length;
  if (relayed === 2) return 'Through the relay, from both sides';
  if (relayed === 1) return `Through the relay of ${pair.local.type === 'relay' ? 'this' : 'the other'} side`;
  return 'Directly between the two';
}

/**
 * One end of the way: what kind of address, and which.
 * @param {import('../../client/stats.js').CandidateInfo} side
 */
export function sideWords(side) {
  const by = side.type === 'relay' && side.relayProtocol ? `, reached over ${side.relayProtocol.toUpperCase()}` : '';
  return `${typeWords[side.type] ?? 'an address'}${by} (${side.type}, ${side.protocol})`;
}

/** @param {import('../../client/stats.js').CandidateInfo} side */
export function addressWords({address, port}) {
  if (!address) return 'address hidden by the browser';
  return `${address.includes(':') ? `[${address}]` : address}:${port}`;
}
