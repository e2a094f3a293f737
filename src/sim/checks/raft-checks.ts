import { crc32 } from 'node:zlib'
import type { NodeId } from '../../base/index.ts'
import {
  type Entry,
  isVoterIn,
  type Raft,
  type RaftEffect,
  type RaftMessage,
  type RecoveredState,
  type WriteEffect,
} from '../../raft/index.ts'
import type { RaftTap } from '../../replica/index.ts'
import type { Moment } from '../faults/fault.ts'
import { Configurations } from './configurations.ts'
import { momentIn, momentOf } from './moments.ts'
import { NodeLog } from './node-log.ts'
import { RaftMarks } from './raft-marks.ts'

/** Where a broken promise is reported. */
export interface CheckWorld {
  fail(check: string, what: string): void
  mark(name: string): void
}

/** What the group agreed on at one index. */
interface Committed {
  readonly term: number
  readonly checksum: number
  readonly by: NodeId
}

/**
 * Raft's promises (Figure 3) over the whole group and the whole run, judged from the effects of the cores and not from
 * what a node believes. What was seen once counts for ever: a crash frees nobody from a vote.
 */
export class RaftChecks {
  readonly #world: CheckWorld
  readonly #leaders = new Map<number, NodeId>()
  readonly #votes = new Map<string, NodeId>()
  /** The term before each entry and its checksum, by index and term: equal pairs have equal pasts. */
  readonly #entries = new Map<string, { readonly previousTerm: number; readonly checksum: number }>()
  readonly #committed: (Committed | undefined)[] = []
  /** The terms in which entries were first applied, so in which they were committed at the latest. */
  readonly #committedIn: number[] = []
  readonly #logs = new Map<NodeId, NodeLog>()
  /** The highest index that each node ever wrote, and that as of the beginning of its present run. */
  readonly #written = new Map<NodeId, number>()
  readonly #promised = new Map<NodeId, number>()

  /** Hears of decisive moments, while they happen; `to` is whom the node speaks to, if it does. */
  onMoment: (moment: Moment, nodeId: NodeId, to?: NodeId) => void = () => {}

  /** Who counts. */
  readonly configurations: Configurations

  constructor(world: CheckWorld, voters: readonly NodeId[]) {
    this.#world = world
    this.configurations = new Configurations(world, voters)
  }

  /** The highest index that any node applied. */
  get committedIndex(): number {
    return this.#committed.length - 1
  }

  /** Looks on for one run of one node. `alive` turns false at its death: what it does afterwards did not happen. */
  tap(nodeId: NodeId, alive: () => boolean): RaftTap {
    const marks = new RaftMarks(this.#world)
    let core: Raft | undefined
    let commitIndex = 0
    return {
      opened: (raft, recovered) => {
        core = raft
        commitIndex = raft.status().commitIndex
        this.#recovered(nodeId, recovered)
        if (recovered.doubtful) this.onMoment('doubt', nodeId)
      },
      stepped: (effects) => {
        if (effects.length === 0 || !alive() || core === undefined) return
        for (const effect of effects) {
          this.configurations.look(effect)
          marks.look(effect)
          this.#effect(nodeId, core, effect)
          const moment = momentIn(effect, core)
          if (moment !== undefined) this.onMoment(moment, nodeId)
        }
        const status = core.status()
        if (status.commitIndex < commitIndex) {
          this.#world.fail(
            'monotonicCommit',
            `node ${nodeId}: commitIndex fell from ${commitIndex} to ${status.commitIndex}`,
          )
        }
        commitIndex = status.commitIndex
      },
      sent: (message) => {
        if (!alive()) return
        marks.sent(message)
        this.#sent(message)
        const moment = momentOf(message)
        if (moment !== undefined) this.onMoment(moment, nodeId, message.to)
      },
    }
  }

  /** The highest index that this node had written when its present run began. */
  promisedBefore(nodeId: NodeId): number {
    return this.#promised.get(nodeId) ?? 0
  }

  #recovered(nodeId: NodeId, recovered: RecoveredState): void {
    this.#promised.set(nodeId, this.#written.get(nodeId) ?? 0)
    this.#logs.set(nodeId, new NodeLog(recovered))
  }

  #effect(nodeId: NodeId, core: Raft, effect: RaftEffect): void {
    switch (effect.kind) {
      case 'write':
        this.#write(nodeId, effect)
        break
      case 'apply':
        for (const entry of effect.entries) this.#apply(nodeId, core, entry)
        break
      case 'roleChanged':
        if (effect.role === 'leader') this.#leader(nodeId, effect.term)
        else if (effect.role !== 'follower') this.#candidate(nodeId, core)
        break
      case 'installSnapshot':
        this.#logs.get(nodeId)?.beginAt(effect.snapshot)
        break
      default:
        break
    }
  }

  /** Log Matching, by induction: equal index and term mean an equal entry and an equal term before it. */
  #write(nodeId: NodeId, { entries }: WriteEffect): void {
    const log = this.#logs.get(nodeId)!
    const lastIndex = entries.at(-1)?.index ?? 0
    if (lastIndex > (this.#written.get(nodeId) ?? 0)) this.#written.set(nodeId, lastIndex)
    for (const entry of entries) {
      const { index, term } = entry
      const previousTerm = log.termAt(index - 1)
      const replaced = log.termAt(index)
      if (replaced !== undefined && replaced !== term) this.#world.mark('conflicting suffix replaced')
      log.write(index, term)
      if (previousTerm === undefined) {
        this.#world.fail('logMatching', `node ${nodeId}: entry ${index} is written behind a gap`)
        return
      }
      const key = `${index}:${term}`
      const known = this.#entries.get(key)
      const checksum = checksumOf(entry)
      if (known === undefined) this.#entries.set(key, { previousTerm, checksum })
      else if (known.previousTerm !== previousTerm || known.checksum !== checksum) {
        this.#world.fail('logMatching', `node ${nodeId}: entry ${index} of term ${term} differs from another node's`)
      }
    }
  }

  /** A vote counts when it leaves: one that a crash took from the disk was never given. */
  #sent(message: RaftMessage): void {
    const { from, to, term } = message
    if (message.kind === 'requestVote' && !message.preVote) this.#vote(from, term, from)
    if (message.kind === 'requestVoteResponse' && !message.preVote && message.voteGranted) this.#vote(from, term, to)
  }

  #vote(nodeId: NodeId, term: number, candidate: NodeId): void {
    const key = `${term}:${nodeId}`
    const known = this.#votes.get(key)
    if (known === undefined) this.#votes.set(key, candidate)
    else if (known !== candidate) {
      this.#world.fail('oneVote', `node ${nodeId} voted for ${known} and for ${candidate} in term ${term}`)
    }
  }

  /** Neither a learner nor a removed node stands for election (thesis §4.2.1, §4.2.3). */
  #candidate(nodeId: NodeId, core: Raft): void {
    const { configuration } = core.status()
    if (isVoterIn(configuration, nodeId)) return
    this.#world.fail('candidateIsVoter', `node ${nodeId} campaigns without a vote: ${JSON.stringify(configuration)}`)
  }

  /** Election Safety: one leader a term. Leader Completeness: it holds all that was committed in earlier terms. */
  #leader(nodeId: NodeId, term: number): void {
    const known = this.#leaders.get(term)
    if (known !== undefined && known !== nodeId) {
      this.#world.fail('electionSafety', `nodes ${known} and ${nodeId} both lead term ${term}`)
    }
    this.#leaders.set(term, nodeId)
    let last = this.#committed.length - 1
    // A candidate whose votes were long under way may win an old term, after entries of later terms were committed.
    while (last > 0 && (this.#committedIn[last] ?? term) >= term) last--
    const entry = this.#committed[last]
    const log = this.#logs.get(nodeId)!
    if (entry === undefined || last <= log.baseIndex) return
    // The log before this entry is equal, by Log Matching.
    if (log.termAt(last) !== entry.term) {
      this.#world.fail(
        'leaderCompleteness',
        `node ${nodeId} leads term ${term} and has at ${last} not the entry of term ${entry.term} that node ${entry.by} applied`,
      )
    }
  }

  /** State Machine Safety: no two nodes ever apply different entries at one index. */
  #apply(nodeId: NodeId, core: Raft, entry: Entry): void {
    const { index, term } = entry
    const checksum = checksumOf(entry)
    const known = this.#committed[index]
    if (known === undefined) {
      this.#committed[index] = { term, checksum, by: nodeId }
      this.#committedIn[index] = core.status().currentTerm
    } else if (known.term !== term || known.checksum !== checksum) {
      this.#world.fail(
        'stateMachineSafety',
        `at index ${index} node ${known.by} applied an entry of term ${known.term} and node ${nodeId} another, of term ${term}`,
      )
    }
  }
}

function checksumOf(entry: Entry): number {
  return crc32(entry.data, entry.kind)
}
