/**
 * What a client does about a closed socket, PROTOCOL.md §7.
 *
 * `resume`: connect again and resume. `token`: the same, with a fresh token.
 * `stop`: do not connect again without a change.
 * @typedef {{name: string, then: 'resume' | 'token' | 'stop', text: string}} CloseRule
 */

/** @type {Record<number, CloseRule>} */
export const closeRules = {
  1000: {name: 'normal', then: 'stop', text: 'the session was ended'},
  1003: {name: 'binary', then: 'stop', text: 'the box takes text frames only'},
  1007: {name: 'invalid_utf8', then: 'stop', text: 'a frame was not valid UTF-8'},
  1009: {name: 'too_big', then: 'stop', text: 'a frame was larger than the box allows'},
  1012: {name: 'restart', then: 'resume', text: 'the box is restarting'},
  1013: {name: 'overload', then: 'resume', text: 'the box is overloaded'},
  4000: {name: 'internal', then: 'resume', text: 'the box had a fault; its log has the details'},
  4001: {name: 'hello_timeout', then: 'resume', text: 'the box waited too long for the first frame'},
  4002: {name: 'dead', then: 'resume', text: 'nothing was heard for too long'},
  4003: {name: 'slow', then: 'resume', text: 'this side did not take its frames fast enough'},
  4005: {name: 'rate_limited', then: 'resume', text: 'too many frames in too short a time'},
  4006: {name: 'sequence_gap', then: 'resume', text: 'a frame was missing'},
  4007: {name: 'token_expired', then: 'token', text: 'the token has expired'},
  4500: {name: 'bad_frame', then: 'stop', text: 'the box could not read a frame'},
  4501: {name: 'replaced', then: 'stop', text: 'a newer connection carries this session'},
  4502: {name: 'unauthorized', then: 'stop', text: 'the token was refused'},
  4503: {name: 'forbidden', then: 'stop', text: 'the box does not admit this page or asks for a token'},
  4504: {name: 'ended', then: 'stop', text: 'an administrator ended the session'},
};

/**
 * The rule for a close code, known or not: 4500 and above is final, everything
 * else is worth another attempt. 1006 is what browsers report for any cut.
 * @param {number} code
 * @returns {CloseRule}
 */
export function closeRule(code) {
  const known = closeRules[code];
  if (known) return known;
  if (code >= 4500 && code <= 4999) return {name: `close_${code}`, then: 'stop', text: `the box closed with ${code}`};
  return {name: `close_${code}`, then: 'resume', text: 'the connection to the box was lost'};
}
