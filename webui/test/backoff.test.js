import assert from 'node:assert/strict';
import test from 'node:test';
import {Backoff, BASE_MS, CAP_MS} from '../client/backoff.js';
import {closeRule, closeRules} from '../client/codes.js';
import {seeded} from './fake/socket.js';

test('back-off stays within 0 and min(30 s, 0.25 s × 2^attempt)', () => {
  const backoff = new Backoff(seeded(7));
  for (let attempt = 0; attempt < 200; attempt++) {
    const bound = Math.min(CAP_MS, BASE_MS * 2 ** attempt);
    assert.equal(backoff.bound, bound);
    const wait = backoff.next();
    assert.ok(wait >= 0 && wait < bound, `attempt ${attempt}: waited ${wait} of ${bound}`);
  }
  backoff.ease();
  assert.equal(backoff.bound, 4 * BASE_MS, 'after a connection that lived shortly');
  backoff.reset();
  backoff.ease();
  assert.equal(backoff.bound, BASE_MS);
});

test('full jitter uses the whole range', () => {
  const waits = Array.from({length: 1000}, (_, i) => new Backoff(seeded(i)).next());
  assert.ok(Math.min(...waits) < 0.05 * BASE_MS && Math.max(...waits) > 0.95 * BASE_MS);
  const mean = waits.reduce((a, b) => a + b) / waits.length;
  assert.ok(Math.abs(mean - BASE_MS / 2) < 0.1 * BASE_MS, `mean ${mean}`);
});

test('a wait the box asks for is taken as it is', () => {
  assert.equal(new Backoff(() => 0.9).next(1234), 1234);
});

test('every close code of the protocol has its rule', () => {
  const want = {
    resume: [1012, 1013, 4000, 4001, 4002, 4003, 4005, 4006, 1001, 1006, 1011, 4099, 4499],
    token: [4007],
    stop: [1000, 1003, 1007, 1009, 4500, 4501, 4502, 4503, 4504, 4600, 4999],
  };
  for (const [then, codes] of Object.entries(want)) {
    for (const code of codes) assert.equal(closeRule(code).then, then, `close code ${code}`);
  }
  for (const rule of Object.values(closeRules)) assert.match(rule.text, /\w+ \w+/);
});
