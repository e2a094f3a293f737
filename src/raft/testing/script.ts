import type { NodeId } from '../../base/index.ts'
import { simpleConfiguration } from '../configuration.ts'
import { entriesBytes } from '../positions.ts'
import type { RaftMessage, RaftOptions } from '../types.ts'
import { id, testOptions } from './one-node.ts'
import { World, type WorldNode } from './world.ts'

/** A group whose every message is delivered by hand, for protocol stories. The global checks run after each step. */
export class Script {
  readonly world: World

  constructor(voters: number, overrides: Partial<RaftOptions> = {}) {
    const ids = Array.from({ length: voters }, (_, i) => id(i + 1))
    const options = testOptions({ configuration: simpleConfiguration(ids), ...overrides })
    this.world = new World(7, options, entriesBytes)
  }

  node(number: number): WorldNode {
    return this.world.node(id(number))
  }

  /** The terms in a node's log, as the paper's figures draw them. */
  terms(number: number): number[] {
    return this.node(number).log.map((entry) => Number(entry.term))
  }

  /** Delivers what matches, and what follows from it, until nothing is left; everyone's disk keeps up. */
  deliver(matches: (message: RaftMessage) => boolean = () => true): void {
    for (;;) {
      for (const node of this.world.nodes) {
        node.completeWrites(node.pendingWrites.length)
        while (node.loads.length > 0) node.completeLoad(0, 1000, false)
      }
      const message = this.world.network.find(matches)
      if (message === undefined) return
      this.world.network.splice(this.world.network.indexOf(message), 1)
      this.world.node(message.to).step({ kind: 'receive', message })
    }
  }

  /** Delivers messages among these nodes only. */
  deliverAmong(...numbers: number[]): void {
    const group = new Set<NodeId>(numbers.map(id))
    this.deliver((message) => group.has(message.from) && group.has(message.to))
  }

  /** Loses everything that is on its way. */
  drop(): void {
    this.world.network = []
  }

  /** `candidate` wins an election by these votes. Nothing but votes is delivered: its first entry is still on its way. */
  elect(candidate: number, ...supporters: number[]): void {
    // They must have lost patience with the old leader, or they would ignore the request.
    for (const supporter of supporters) this.tick(supporter, this.world.options.electionTimeoutTicks)
    this.drop()
    const group = new Set<NodeId>([candidate, ...supporters].map(id))
    const isVote = (message: RaftMessage) => message.kind === 'requestVote' || message.kind === 'requestVoteResponse'
    for (let i = 0; i < 40 && this.node(candidate).raft!.status().role !== 'leader'; i++) {
      this.tick(candidate, 1)
      this.deliver((message) => isVote(message) && group.has(message.from) && group.has(message.to))
    }
    this.world.network = this.world.network.filter((message) => !isVote(message))
  }

  tick(number: number, count: number): void {
    for (let i = 0; i < count; i++) this.node(number).step({ kind: 'tick' })
  }

  crash(number: number): void {
    this.node(number).crash(0)
    const gone = id(number)
    this.world.network = this.world.network.filter((message) => message.from !== gone && message.to !== gone)
  }
}
