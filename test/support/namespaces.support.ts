import { spawnSync } from 'node:child_process'
import { onTestFinished } from 'vitest'

/** The watcher's place in the network: commands of the test run there, and nothing is ever cut off from it. */
const WATCHER = 9

/**
 * A small network of its own: one namespace for each coordinator, joined by a bridge. Coordinators without TLS listen on
 * loopback only, so each has an address of 127.77.0.0/24, which the kernel is told to route between the namespaces.
 */
export class Namespaces {
  readonly #prefix: string
  readonly #ids: readonly number[]

  private constructor(prefix: string, ids: readonly number[]) {
    this.#prefix = prefix
    this.#ids = ids
  }

  /** Makes the network for the test that runs now; it goes with it. */
  static make(count: number): Namespaces {
    const ids = Array.from({ length: count }, (_, index) => index + 1)
    const namespaces = new Namespaces(`cdt${process.pid}n`, ids)
    onTestFinished(() => namespaces.#remove())
    namespaces.#make()
    return namespaces
  }

  hostOf(id: number): string {
    return `127.77.0.${id}`
  }

  /** The hosts of all coordinators, in order. */
  get hosts(): readonly string[] {
    return this.#ids.map((id) => this.hostOf(id))
  }

  /** What a program must be started through to live in a coordinator's place; without an id: in the watcher's. */
  through(id: number = WATCHER): readonly string[] {
    return ['ip', 'netns', 'exec', this.#name(id)]
  }

  /** What `from` sends to `to` no longer arrives. The other direction stays open. */
  cut(from: number, to: number): void {
    this.#in(from, 'ip', 'route', 'add', 'blackhole', `${this.hostOf(to)}/32`)
  }

  mend(from: number, to: number): void {
    this.#in(from, 'ip', 'route', 'del', 'blackhole', `${this.hostOf(to)}/32`)
  }

  #make(): void {
    const bridge = this.#name(0)
    run('ip', 'netns', 'add', bridge)
    this.#in(0, 'ip', 'link', 'add', 'hub', 'type', 'bridge')
    this.#in(0, 'ip', 'link', 'set', 'hub', 'up')
    for (const id of [...this.#ids, WATCHER]) {
      const name = this.#name(id)
      run('ip', 'netns', 'add', name)
      run('ip', 'link', 'add', 'way', 'netns', name, 'type', 'veth', 'peer', 'name', `port${id}`, 'netns', bridge)
      this.#in(0, 'ip', 'link', 'set', `port${id}`, 'master', 'hub', 'up')
      this.#in(id, 'ip', 'link', 'set', 'lo', 'up')
      this.#in(id, 'sysctl', '-qw', 'net.ipv4.conf.all.route_localnet=1')
      this.#in(id, 'ip', 'addr', 'add', `${this.hostOf(id)}/24`, 'dev', 'way')
      this.#in(id, 'ip', 'link', 'set', 'way', 'up')
      this.#in(id, 'ip', 'route', 'del', 'local', '127.0.0.0/8', 'dev', 'lo', 'table', 'local')
    }
  }

  #remove(): void {
    for (const id of [...this.#ids, WATCHER, 0]) spawnSync('ip', ['netns', 'del', this.#name(id)])
  }

  #name(id: number): string {
    return `${this.#prefix}${id}`
  }

  #in(id: number, ...command: readonly string[]): void {
    run('ip', 'netns', 'exec', this.#name(id), ...command)
  }
}

/** Why this machine can't have such a network, or undefined. */
export function whyNoNamespaces(): string | undefined {
  if (process.getuid?.() !== 0) return 'only root may make network namespaces'
  const name = `cdt${process.pid}probe`
  const probe = `ip netns add ${name} && ip netns exec ${name} sysctl -qw net.ipv4.conf.all.route_localnet=1 && ip netns exec ${name} ip link add hub type bridge`
  const { status, stderr } = spawnSync('sh', ['-c', probe], { encoding: 'utf8' })
  spawnSync('ip', ['netns', 'del', name])
  return status === 0 ? undefined : `network namespaces can't be made here (${stderr.trim()})`
}

function run(program: string, ...args: readonly string[]): void {
  const { status, stderr, error } = spawnSync(program, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${error?.message ?? stderr.trim()}`)
}
