import {execFile, spawn} from 'node:child_process';
import {mkdtempSync} from 'node:fs';
import {join} from 'node:path';
import {createInterface} from 'node:readline';
import {promisify} from 'node:util';
import {binary} from './box.js';

const run = promisify(execFile);

/** A running cloud node of its own data folder, on a host of a lab or on loopback. */
export class Cloud {
  #lab;
  #host;
  #child;
  log = '';

  constructor(lab, {host = 'box'} = {}) {
    this.#lab = lab;
    this.#host = host;
    this.data = mkdtempSync(join(lab.dir, 'cloud-'));
  }

  async start() {
    const at = this.#lab.address(this.#host);
    const command = [...this.#lab.on(this.#host), await binary(), 'cloud', 'serve', '--data', this.data, '--http', '', '--https', `${at}:0`, '--ready-json'];
    const child = (this.#child = spawn(command[0], command.slice(1), {stdio: ['ignore', 'pipe', 'pipe'], env: {...process.env, NODE_OPTIONS: ''}}));
    this.exited = new Promise((done) => child.once('exit', (code, signal) => done({code, signal})));
    child.stderr.on('data', (text) => { this.log += text; });
    const ready = await Promise.race([
      new Promise((found) => createInterface({input: child.stdout}).once('line', (line) => found(JSON.parse(line)))),
      this.exited.then(({code}) => { throw new Error(`the cloud ended with ${code}:\n${this.log}`); }),
    ]);
    this.url = ready.url;
    this.setup = ready.setup;
    return this;
  }

  async stop() {
    this.#child?.kill('SIGTERM');
    await this.exited;
  }

  /** Runs `signalbox cloud` against the node's folder. */
  async command(...args) {
    const [program, ...rest] = [...this.#lab.on(this.#host), await binary(), 'cloud', ...args, '--data', this.data];
    return (await run(program, rest)).stdout;
  }
}
