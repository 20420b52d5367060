import assert from 'node:assert/strict';
import {execFile} from 'node:child_process';
import {createRequire} from 'node:module';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';
import test from 'node:test';

test('the types of library and pages hold, strictly', async () => {
  const tsc = join(dirname(createRequire(import.meta.url).resolve('typescript')), 'tsc.js');
  const said = await new Promise((resolve) => {
    execFile(process.execPath, [tsc, '-p', fileURLToPath(new URL('.', import.meta.url))], (_, stdout) => resolve(stdout));
  });
  assert.equal(said, '');
});
