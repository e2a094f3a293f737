import { assert, type NodeId } from '../../base/index.ts'
import { simpleConfiguration } from '../configuration.ts'
import { entriesBytes } from '../positions.ts'
import type { ConfigurationTarget, RaftEffect, RaftEvent, RaftMessage, RaftOptions } from '../types.ts'
import { testOptions } from './one-node.ts'
import { effectLine, eventLine, messageLine, statusLine } from './trace.ts'
import { World, type WorldNode } from './world.ts'

/**
 * A group that carries out the commands of a scenario script and writes down what happens. The global checks run after
 * each step, and disks keep up by themselves unless they are held. The language is in testdata/README.md.
 */
export class Scenario {
  #world: World | undefined
  #lines: string[] = []
  /** Which side of the partition each node is on. */
  #sides = new Map<NodeId, number>()
  readonly #held = new Set<NodeId>()

  /** Carries out one command and returns its trace. */
  run(command: string): string[] {
    this.#lines = []
    const [name = '', ...words] = command.trim().split(/\s+/)
    if (name !== 'quiet') {
      this.#carryOut(name, words)
      return this.#lines
    }
    this.run(words.join(' '))
    return []
  }

  #carryOut(name: string, words: readonly string[]): void {
    switch (name) {
      case 'group':
        return this.#begin(words)
      case 'join':
        return each(words, (word) => this.#mustWorld().join(idOf(word)))
      case 'timeout':
        return each(words, (word) => this.#timeOut(this.#node(word)))
      case 'tick':
        return this.#tick(words)
      case 'settle':
        return this.#deliver(words, true)
      case 'deliver':
        return this.#deliver(words, false)
      case 'drop':
        return this.#drop(words)
      case 'cut':
        return this.#cut(words)
      case 'heal':
        return this.#sides.clear()
      case 'hold':
        return each(words, (word) => this.#held.add(idOf(word)))
      case 'release':
        return each(words, (word) => this.#held.delete(idOf(word)))
      case 'crash':
        return each(words, (word) => this.#crash(this.#node(word)))
      case 'start':
        return each(words, (word) => this.#node(word).start())
      case 'damage':
        return this.#damage(words)
      case 'status':
        return this.#status(words)
      default:
        return this.#ask(name, words)
    }
  }

  /** What a shell asks of its node. */
  #ask(name: string, [first = '', ...words]: readonly string[]): void {
    const node = this.#node(first)
    switch (name) {
      case 'propose':
        return node.step({ kind: 'propose', proposals: words.map((word) => new TextEncoder().encode(word)) })
      case 'members':
        return node.step({
          kind: 'changeConfiguration',
          target: targetOf(words),
          context: new Uint8Array(0),
          force: words.includes('force'),
        })
      case 'transfer':
        return node.step({ kind: 'transferLeadership', to: words[0] === undefined ? undefined : idOf(words[0]) })
      case 'read':
        return this.#mustWorld().read(node)
      case 'snapshot':
        node.snapshots.take(Number(words[0] ?? 0))
        for (let stage = 0; stage < 3; stage++) node.snapshots.continueTaking()
        return
      default:
        assert(false, `no such command: ${name}`)
    }
  }

  #begin(words: readonly string[]): void {
    assert(this.#world === undefined, 'a scenario is about one group')
    const count = Number(words[0])
    const voters = Array.from({ length: count }, (_, at) => (at + 1) as NodeId)
    const options = testOptions({
      configuration: simpleConfiguration(voters, idsOf(words, 'learners')),
      ...numbers(words),
    })
    this.#world = new World(seedOf(words), options, entriesBytes)
    this.#world.onStep = (node, event, effects) => this.#onStep(node, event, effects)
    const [leader] = idsOf(words, 'leader')
    if (leader === undefined) return
    for (const command of [`timeout ${leader}`, 'settle', `tick ${leader} x2`, 'settle']) this.run(command)
    this.#lines = []
  }

  #onStep(node: WorldNode, event: RaftEvent, effects: readonly RaftEffect[]): void {
    const below = effects.map(effectLine).filter((line) => line !== undefined)
    const header = eventLine(node.id, event)
    // A tick, or a write that is done, is worth a line only for what follows from it.
    const isTelling = event.kind === 'receive' || event.kind === 'snapshotInstalled' || below.length > 0
    if (header !== undefined && isTelling) this.#lines.push(header)
    this.#lines.push(...below.map((line) => `  ${line}`))
  }

  #tick(words: readonly string[]): void {
    const times = Number(words.find((word) => word.startsWith('x'))?.slice(1) ?? 1)
    for (let time = 0; time < times; time++) {
      for (const node of this.#nodes(words.filter((word) => !word.startsWith('x')))) node.step({ kind: 'tick' })
    }
  }

  /** The clock of this node alone runs until it changes its role. */
  #timeOut(node: WorldNode): void {
    const before = node.raft!.status()
    for (let tick = 0; tick < 2 * this.#mustWorld().options.electionTimeoutTicks; tick++) {
      node.step({ kind: 'tick' })
      if (node.raft!.status().role !== before.role) return
    }
    this.#lines.push(`${node.id} stays ${before.role}`)
  }

  /** Delivers what is on its way, in order: once, or until nothing is left. */
  #deliver(words: readonly string[], isUntilQuiet: boolean): void {
    const world = this.#mustWorld()
    this.#keepUp()
    let waiting = world.network.filter(matcher(words))
    while (waiting.length > 0) {
      for (const message of waiting) {
        world.network.splice(world.network.indexOf(message), 1)
        this.#arrive(message)
        this.#keepUp()
      }
      waiting = isUntilQuiet ? world.network.filter(matcher(words)) : []
    }
  }

  #arrive(message: RaftMessage): void {
    const receiver = this.#mustWorld().node(message.to)
    const isCut = (this.#sides.get(message.from) ?? 0) !== (this.#sides.get(message.to) ?? 0)
    if (isCut || receiver.raft === undefined) this.#lines.push(`lost ${messageLine(message)}`)
    else receiver.step({ kind: 'receive', message })
  }

  /** Every disk that is not held does what it was asked for. */
  #keepUp(): void {
    for (const node of this.#mustWorld().nodes) {
      if (node.raft === undefined || this.#held.has(node.id)) continue
      do node.completeWrites(node.pendingWrites.length)
      while (node.pendingWrites.length > 0)
      while (node.loads.length > 0) node.completeLoad(0, 1000, false)
      node.snapshots.settle(false)
    }
  }

  #drop(words: readonly string[]): void {
    const world = this.#mustWorld()
    const matches = matcher(words)
    for (const message of world.network.filter(matches)) this.#lines.push(`lost ${messageLine(message)}`)
    world.network = world.network.filter((message) => !matches(message))
  }

  /** `cut 1 2 | 3`: these sides do not hear each other until `heal`. */
  #cut(words: readonly string[]): void {
    this.#sides.clear()
    let side = 0
    for (const word of words) {
      if (word === '|') side++
      else this.#sides.set(idOf(word), side)
    }
  }

  #crash(node: WorldNode): void {
    node.crash(0)
    const world = this.#mustWorld()
    world.network = world.network.filter(({ from, to }) => from !== node.id && to !== node.id)
  }

  /** `damage 3 keep=2`: of a node that is down, the vote and the log behind index 2 are lost. */
  #damage([first = '', ...words]: readonly string[]): void {
    const node = this.#node(first)
    node.disk.damage(numbers(words).keep ?? 0)
    this.#mustWorld().checks.forgetVotes(node.id)
  }

  #status(words: readonly string[]): void {
    for (const node of this.#nodes(words)) {
      this.#lines.push(node.raft === undefined ? `${node.id} is down` : statusLine(node.raft.status()))
    }
  }

  #mustWorld(): World {
    assert(this.#world !== undefined, 'a scenario begins with its group')
    return this.#world
  }

  #node(word: string): WorldNode {
    const node = this.#mustWorld().node(idOf(word))
    assert(node !== undefined, `no such node: ${word}`)
    return node
  }

  #nodes(words: readonly string[]): readonly WorldNode[] {
    return words.length === 0 ? this.#mustWorld().nodes : words.map((word) => this.#node(word))
  }
}

function each(words: readonly string[], act: (word: string) => unknown): void {
  for (const word of words) act(word)
}

function idOf(word: string): NodeId {
  assert(/^\d+$/.test(word), `not a node: ${word}`)
  return Number(word) as NodeId
}

/** `learners=4,5` */
function idsOf(words: readonly string[], name: string): NodeId[] {
  const word = words.find((other) => other.startsWith(`${name}=`))
  return word === undefined
    ? []
    : word
        .slice(name.length + 1)
        .split(',')
        .map(idOf)
}

function targetOf(words: readonly string[]): ConfigurationTarget {
  return { voters: idsOf(words, 'voters'), learners: idsOf(words, 'learners') }
}

/** `messageBytesMax=1 keep=2`: whatever is a number. */
function numbers(words: readonly string[]): Partial<RaftOptions> & { readonly keep?: number } {
  const pairs = words.flatMap((word): [string, number][] => {
    const [name = '', value = ''] = word.split('=')
    return /^\d+$/.test(value) && !['seed', 'learners', 'leader'].includes(name) ? [[name, Number(value)]] : []
  })
  return Object.fromEntries(pairs)
}

function seedOf(words: readonly string[]): number {
  return Number(words.find((word) => word.startsWith('seed='))?.slice(5) ?? 7)
}

/** `1 2 3`: among these nodes. `1>2`: from one to the other. `-1`: none to or from this one. Nothing: all. */
function matcher(words: readonly string[]): (message: RaftMessage) => boolean {
  const among = words.filter((word) => /^\d+$/.test(word)).map(Number)
  const without = words.filter((word) => word.startsWith('-')).map((word) => Number(word.slice(1)))
  const ways = words.filter((word) => word.includes('>'))
  return ({ from, to }) => {
    if (without.includes(from) || without.includes(to)) return false
    if (ways.length === 0 && among.length === 0) return true
    return ways.includes(`${from}>${to}`) || (among.includes(from) && among.includes(to))
  }
}
