import {execFile, spawn} from 'node:child_process';
import {existsSync, mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join, resolve} from 'node:path';
import {createInterface} from 'node:readline';
import {fileURLToPath} from 'node:url';
import {promisify} from 'node:util';

const run = promisify(execFile);
const root = resolve(fileURLToPath(import.meta.url), '../../../..');
let built;

/** The program under test, built once per run; undefined where there is no Go. */
export function binary() {
  if (process.env.WEBUI_TEST_BINARY) return Promise.resolve(process.env.WEBUI_TEST_BINARY);
  built ??= (async () => {
    const dir = mkdtempSync(join(tmpdir(), 'signalbox-bin-'));
    process.once('exit', () => rmSync(dir, {recursive: true, force: true}));
    const path = join(dir, 'signalbox');
    try {
      await run('go', ['build', '-o', path, './appliance/cmd/signalbox'], {cwd: root});
    } catch (error) {
      if (error.code !== 'ENOENT') throw error;
      const ready = join(root, 'bin/signalbox');
      return existsSync(ready) ? ready : undefined;
    }
    return path;
  })();
  return built;
}

/** A running box of its own data folder, on a host of a lab or on loopback. */
export class Box {
  #lab;
  #host;
  #child;
  #ports;
  log = '';

  constructor(lab, {host = 'box', data, config = []} = {}) {
    this.#lab = lab;
    this.#host = host;
    this.data = data ?? mkdtempSync(join(lab.dir, 'data-'));
    this.config = config;
  }

  /** Starts it; a second time, on the same ports. */
  async start() {
    const at = this.#lab.address(this.#host);
    const [http, https, turn] = this.#ports ?? (this.#lab.isolated ? [8080, 8443, 3478] : [0, 0, 0]);
    const command = [...this.#lab.on(this.#host), await binary(), 'serve', '--data', this.data, '--http', `${at}:${http}`,
      '--https', `${at}:${https}`, '--turn', `${at}:${turn}`, '--ready-json', '--call-link', ...this.config];
    const child = (this.#child = spawn(command[0], command.slice(1), {stdio: ['ignore', 'pipe', 'pipe'], env: {...process.env, NODE_OPTIONS: ''}}));
    this.exited = new Promise((done) => child.once('exit', (code, signal) => done({code, signal})));
    child.stderr.on('data', (text) => { this.log += text; });
    const ready = await Promise.race([
      new Promise((found) => createInterface({input: child.stdout}).once('line', (line) => found(JSON.parse(line)))),
      this.exited.then(({code}) => { throw new Error(`the box ended with ${code}:\n${this.log}`); }),
    ]);
    const port = (list) => Number(list[0].split(':').at(-1));
    this.#ports = [port(ready.http), port(ready.https), port(ready.turn)];
    this.http = `http://${at}:${this.#ports[0]}`;
    this.https = `https://${at}:${this.#ports[1]}`;
    return this;
  }

  /** As a power cut would: nothing is said, nothing is written. */
  async kill() {
    this.#child.kill('SIGKILL');
    await this.exited;
  }

  async stop() {
    this.#child?.kill('SIGTERM');
    await this.exited;
  }

  /** Runs the box's own command line against its data folder. */
  async command(...args) {
    const [program, ...rest] = [...this.#lab.on(this.#host), await binary(), ...args, '--data', this.data];
    return (await run(program, rest)).stdout;
  }

  async token(subject, room, ...more) {
    return JSON.parse(await this.command('token', 'device', '--json', '--subject', subject, '--room', room, ...more)).token;
  }

  /** A link from what the box printed when it started. */
  printed(pattern) {
    const found = pattern.exec(this.log)?.[0];
    if (!found) throw new Error(`the box printed no ${pattern}:\n${this.log}`);
    return found;
  }
}
