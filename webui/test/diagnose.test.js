import assert from 'node:assert/strict';
import test from 'node:test';
import {diagnose} from '../client/diagnose.js';

const facts = {local: {host: 2, relay: 1}, remote: {host: 2, relay: 1}, errors: [], offered: true, answered: true, connected: false, receipt: 'delivered'};
const codes = (over = {}, more = {}) => diagnose({
  facts: {...facts, ...over}, connection: 'failed', relayOnly: false, relayOffered: true, online: true, present: true, ...more,
}).map(({code}) => code);
const unreachable = [{url: 'turn:10.0.0.5:3478?transport=udp', code: 701, text: ''}];

for (const [name, want, over, more] of [
  ['nothing stands in the way', [], {}, {connection: 'connected'}],
  ['the box is gone', ['box_unreachable'], {}, {online: false}],
  ['the other side is interrupted and has not answered', ['other_suspended', 'no_answer'], {answered: false}, {present: false}],
  ['the other side left', ['absent', 'no_answer'], {receipt: 'absent', answered: false}],
  ['relay only without a relay', ['no_relay_offered'], {local: {}}, {relayOnly: true, relayOffered: false}],
  ['relay only and the relay gives nothing', ['no_relay_candidate'], {local: {}, errors: unreachable}, {relayOnly: true}],
  ['no network', ['no_candidates'], {local: {}}],
  ['the other side has no address', ['no_remote_candidates'], {remote: {}}],
  ['neither direct nor relayed', ['no_way'], {local: {host: 1}, remote: {host: 1}, errors: unreachable}],
  ['relays that do not reach each other', ['ice_failed'], {}],
  ['it was there and is lost', ['lost'], {connected: true}],
]) {
  test(`why a call fails: ${name}`, () => assert.deepEqual(codes(over, more), want));
}

test('the answer of the relay is told in words', () => {
  const [{text}] = diagnose({facts: {...facts, local: {}, errors: unreachable}, connection: 'failed', relayOnly: true, relayOffered: true, online: true, present: true});
  assert.match(text, /turn:10\.0\.0\.5:3478\?transport=udp cannot be reached.*3478/);
  const [refused] = diagnose({facts: {...facts, local: {}, errors: [{url: 'turn:b', code: 401, text: 'Unauthorized'}]}, connection: 'failed', relayOnly: true, relayOffered: true, online: true, present: true});
  assert.match(refused.text, /turn:b answered 401 Unauthorized/);
});
