import {execFile} from 'node:child_process';
import {accessSync, constants, existsSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {promisify} from 'node:util';

const run = promisify(execFile);

/**
 * A small network: a box and two browsers, each in a network namespace of its
 * own, on one bridge. Media has a real way to take, and the relay has real
 * addresses to give. Without root it is this machine's loopback.
 */
export async function makeLab(hosts = ['box', 'a', 'b']) {
  const lab = loopback();
  if (process.getuid?.() !== 0 || process.env.WEBUI_TEST_LAB === 'loopback' || !(await has('ip')) || !(await has('nsenter'))) return lab;
  try {
    await lab.build(hosts);
  } catch (error) {
    console.log(`no network namespaces here, so everything runs on loopback: ${String(error.stderr || error).trim()}`);
    await lab.takeDown();
    lab.isolated = false;
  }
  return lab;
}

/** This machine's loopback, for what needs no network of its own. */
export function loopback() {
  return new Lab(mkdtempSync(join(tmpdir(), 'signalbox-lab-')));
}

async function has(command) {
  return run('sh', ['-c', `command -v ${command}`]).then(() => true, () => false);
}

/** Removes what runs that were killed have left behind. */
async function sweep() {
  const {stdout} = await run('ip', ['netns', 'list']);
  for (const [space, pid] of stdout.matchAll(/^sbw(\d+)[a-z]+/gm)) {
    if (!existsSync(`/proc/${pid}`)) await run('ip', ['netns', 'del', space]).catch(() => {});
  }
}

class Lab {
  isolated = false;
  #spaces = new Map();
  #addresses = new Map();

  constructor(dir) {
    this.dir = dir;
  }

  async build(hosts) {
    await sweep();
    this.isolated = true;
    const [first] = hosts;
    for (const [i, host] of hosts.entries()) {
      const space = `sbw${process.pid}${host}`;
      await run('ip', ['netns', 'add', space]);
      this.#spaces.set(host, space);
      this.#addresses.set(host, `10.88.0.${i + 1}`);
      // An IPv6 address that comes seconds later would be a change of network to the browser.
      await this.exec(host, 'sh', '-c', 'echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6; echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6');
      await run('ip', ['-n', space, 'link', 'set', 'lo', 'up']);
    }
    const hub = this.#spaces.get(first);
    await run('ip', ['-n', hub, 'link', 'add', 'lan', 'type', 'bridge']);
    for (const host of hosts.slice(1)) {
      await run('ip', ['-n', this.#spaces.get(host), 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', `to-${host}`, 'netns', hub]);
      await run('ip', ['-n', hub, 'link', 'set', `to-${host}`, 'master', 'lan', 'up']);
      await this.#address(host, 'eth0');
    }
    await this.#address(first, 'lan');
  }

  async #address(host, device) {
    const space = this.#spaces.get(host);
    await run('ip', ['-n', space, 'addr', 'add', `${this.address(host)}/24`, 'dev', device]);
    await run('ip', ['-n', space, 'link', 'set', device, 'up']);
    await run('ip', ['-n', space, 'route', 'add', 'default', 'dev', device]);
  }

  /** The address of a host, as the others reach it. */
  address(host) {
    return this.#addresses.get(host) ?? '127.0.0.1';
  }

  /** How to start a program on a host: what to put before its command line. */
  on(host) {
    const space = this.#spaces.get(host);
    return space ? ['nsenter', `--net=/run/netns/${space}`, '--'] : [];
  }

  /** A program that runs another one on a host: for those who take no more than a path. */
  wrapper(host, program) {
    const path = join(this.dir, `${host}-${program.split('/').pop()}`);
    writeFileSync(path, `#!/bin/sh\nexec ${[...this.on(host), program].join(' ')} "$@"\n`, {mode: 0o755});
    accessSync(path, constants.X_OK);
    return path;
  }

  /** Runs a command on a host. */
  exec(host, ...command) {
    const [program, ...args] = [...this.on(host), ...command];
    return run(program, args);
  }

  async takeDown() {
    for (const space of this.#spaces.values()) await run('ip', ['netns', 'del', space]).catch(() => {});
    this.#spaces.clear();
    this.#addresses.clear();
    rmSync(this.dir, {recursive: true, force: true});
  }
}
