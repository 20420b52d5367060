import assert from 'node:assert/strict';
import test from 'node:test';
import {byNeed, merge} from '../assets/dashboard/live.js';
import {setQuery, siteOf} from '../assets/dashboard/router.js';
import {fits} from '../assets/dashboard/sites.js';
import {delivery} from '../assets/dashboard/webhooks.js';

const row = (site, health, more = {}) => ({site, title: '', health, acked: false, boxes: [], ...more});

test('changed rows replace those of before, new ones come in, removed ones go', () => {
  const before = {seq: 4, now: 'then', problems: 1, totals: {sites: 3}, sites: [row('a', 'red'), row('b', 'green'), row('c', 'green')]};
  const after = merge(before, {seq: 9, now: 'now', problems: 2, totals: {sites: 3}, sites: [row('c', 'red'), row('d', 'amber')], removed: ['b']});
  assert.deepEqual(after.sites.map(({site, health}) => [site, health]), [['a', 'red'], ['c', 'red'], ['d', 'amber']]);
  assert.deepEqual([after.seq, after.now, after.problems], [9, 'now', 2]);
  assert.deepEqual(before.sites.map(({site}) => site), ['a', 'b', 'c'], 'what is on the page stays as it was');
  assert.deepEqual(merge(after, {seq: 10, sites: []}).sites, after.sites, 'a change without rows');
});

test('the worst come first, what is known after what is not, then by name', () => {
  const rows = [row('z', 'green'), row('b', 'red', {acked: true}), row('w', 'waiting'), row('a', 'amber'), row('c', 'red'), row('a-known', 'amber', {acked: true}), row('y', 'green', {acked: true})];
  assert.deepEqual(rows.sort(byNeed).map(({site}) => site), ['c', 'b', 'a', 'a-known', 'w', 'y', 'z']);
});

test('filters fit by state, version, drift and text, all at once', () => {
  const box = {box: 'k7q2', name: 'Press cabinet', version: 'v1.2.0', policy: 3, policy_wanted: 4};
  const site = row('hall-2', 'amber', {title: 'Hall 2', boxes: [{...box, box: 'm1', name: undefined, version: 'v1.1.0', policy: 4}, box]});
  for (const [query, want] of [
    [{}, true], [{health: 'red,amber'}, true], [{health: 'red'}, false], [{version: 'v1.2.0'}, true], [{version: 'v1.3.0'}, false],
    [{drift: '1'}, true], [{q: ' HALL '}, true], [{q: 'press CAB'}, true], [{q: 'k7'}, true], [{q: 'mill'}, false],
    [{q: 'hall', health: 'amber', version: 'v1.1.0', drift: '1'}, true], [{q: 'hall', health: 'green'}, false],
  ]) assert.equal(fits(site, query), want, JSON.stringify(query));
  assert.equal(fits(row('new', 'waiting'), {drift: '1'}), false, 'a site without a box has no drift');
  assert.equal(fits(row('new', 'waiting'), {version: 'v1.2.0'}), false);
});

test('filters go into the address, and out of it when they are empty', () => {
  const places = [];
  globalThis.location = {pathname: '/', search: '?health=red&q=hall'};
  globalThis.history = {replaceState: (_state, _title, to) => places.push(to)};
  try {
    setQuery({q: 'mill & co'});
    setQuery({q: '', health: ''});
  } finally {
    delete globalThis.location;
    delete globalThis.history;
  }
  assert.deepEqual(places, ['/?health=red&q=mill+%26+co', '/']);
});

test('an address that is no encoding of a name is told as it is', () => {
  for (const [path, want] of [['/site/hall-2', 'hall-2'], ['/site/h%C3%A9', 'hé'], ['/site/50%', '50%'], ['/site/%ff', '%ff'], ['/site/', '']]) assert.equal(siteOf(path), want);
});

test('a webhook delivers when its last delivery arrived', () => {
  const ok = '2026-11-01T12:00:00Z';
  for (const [hook, want] of [[{}, 'nothing told yet'], [{last_ok: ok}, 'delivers'], [{failing: ok}, 'fails'], [{last_ok: ok, failing: ok}, 'fails']]) assert.equal(delivery(hook).word, want);
});
