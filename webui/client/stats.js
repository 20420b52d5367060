/**
 * @typedef {object} CandidateInfo
 * @property {string} type       host, srflx, prflx or relay
 * @property {string} protocol   udp or tcp, as the candidate is used
 * @property {string} [relayProtocol]  how this side reaches its relay: udp, tcp or tls
 * @property {string} [address]
 * @property {number} [port]
 * @property {string} [url]      the ICE server it came from
 */

/**
 * @typedef {object} Flow
 * @property {number} bytes
 * @property {number} packets
 * @property {number} [lost]
 * @property {number} [frames]   decoded or encoded
 * @property {number} [width]
 * @property {number} [height]
 * @property {number} [fps]
 * @property {string} [codec]
 */

/**
 * @typedef {object} CallStats
 * @property {number} at         milliseconds
 * @property {{local: CandidateInfo, remote: CandidateInfo, rttMs?: number} | undefined} pair  the one in use
 * @property {{video?: Flow, audio?: Flow}} inbound
 * @property {{video?: Flow, audio?: Flow}} outbound
 */

/**
 * What a connection uses and carries, out of its many statistics.
 * @param {RTCPeerConnection} pc
 * @returns {Promise<CallStats>}
 */
export async function readStats(pc) {
  /** @type {Map<string, any>} */
  const report = new Map();
  (await pc.getStats()).forEach((/** @type {any} */ stat, /** @type {string} */ id) => report.set(id, stat));
  /** @type {CallStats} */
  const stats = {at: 0, pair: pairInUse(report), inbound: {}, outbound: {}};
  for (const stat of report.values()) {
    stats.at = Math.max(stats.at, stat.timestamp);
    const kind = stat.kind === 'video' ? 'video' : 'audio';
    if (stat.type === 'inbound-rtp') stats.inbound[kind] = inbound(stat, report);
    if (stat.type === 'outbound-rtp') stats.outbound[kind] = outbound(stat, report);
  }
  return stats;
}

/** @param {Map<string, any>} report */
function pairInUse(report) {
  let pair;
  for (const stat of report.values()) {
    if (stat.type === 'transport' && stat.selectedCandidatePairId) pair = report.get(stat.selectedCandidatePairId);
    // Firefox has no transport entry and marks the pair itself.
    if (stat.type === 'candidate-pair' && stat.selected) pair ??= stat;
  }
  if (!pair) return undefined;
  const rttMs = pair.currentRoundTripTime === undefined ? undefined : Math.round(pair.currentRoundTripTime * 10_000) / 10;
  return {local: candidate(report.get(pair.localCandidateId)), remote: candidate(report.get(pair.remoteCandidateId)), rttMs};
}

/** @param {any} stat @returns {CandidateInfo} */
function candidate(stat) {
  return {
    type: stat?.candidateType ?? 'unknown',
    protocol: stat?.protocol ?? 'unknown',
    relayProtocol: stat?.relayProtocol,
    address: stat?.address ?? stat?.ip,
    port: stat?.port,
    url: stat?.url,
  };
}

/** @param {any} stat @param {Map<string, any>} report @returns {Flow} */
function inbound(stat, report) {
  return {
    bytes: stat.bytesReceived ?? 0,
    packets: stat.packetsReceived ?? 0,
    lost: stat.packetsLost,
    frames: stat.framesDecoded,
    ...shape(stat, report),
  };
}

/** @param {any} stat @param {Map<string, any>} report @returns {Flow} */
function outbound(stat, report) {
  return {bytes: stat.bytesSent ?? 0, packets: stat.packetsSent ?? 0, frames: stat.framesEncoded, ...shape(stat, report)};
}

/** @param {any} stat @param {Map<string, any>} report */
function shape(stat, report) {
  return {
    width: stat.frameWidth,
    height: stat.frameHeight,
    fps: stat.framesPerSecond,
    codec: report.get(stat.codecId)?.mimeType?.split('/')[1],
  };
}

/** Bits per second out of one reading after the other. */
export class Rates {
  /** @type {CallStats | undefined} */
  #last;

  /** @param {CallStats} stats @returns {{inbound: number, outbound: number}} 0 with the first reading */
  next(stats) {
    const last = this.#last;
    this.#last = stats;
    const seconds = last ? (stats.at - last.at) / 1000 : 0;
    const rate = (/** @type {'inbound' | 'outbound'} */ way) => {
      if (!last || seconds <= 0) return 0;
      return Math.max(0, Math.round(((total(stats[way]) - total(last[way])) * 8) / seconds));
    };
    return {inbound: rate('inbound'), outbound: rate('outbound')};
  }
}

/** @param {{video?: Flow, audio?: Flow}} flows */
function total(flows) {
  return (flows.video?.bytes ?? 0) + (flows.audio?.bytes ?? 0);
}

/**
 * Resolves with the milliseconds from the first frame of the negotiation to the
 * first picture shown by the element.
 * @param {import('./peer.js').Peer} peer
 * @param {HTMLVideoElement} video
 * @returns {Promise<number>}
 */
export function firstFrame(peer, video) {
  return new Promise((resolve) => {
    const shown = () => resolve(Math.round(performance.now() - (peer.startedAt ?? performance.now())));
    if ('requestVideoFrameCallback' in video) video.requestVideoFrameCallback(shown);
    else /** @type {any} */ (video).addEventListener('timeupdate', shown, {once: true});
  });
}
