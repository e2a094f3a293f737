import { assert, type NodeId } from '../../base/index.ts'
import { isVoterIn } from '../configuration.ts'
import { hasQuorum } from '../quorum.ts'
import type {
  Configuration,
  Entry,
  RaftEffect,
  RaftEvent,
  RaftOptions,
  RaftStatus,
  RequestVote,
  Term,
} from '../types.ts'

/**
 * How one run of a node has to behave towards elections: pre-vote, check-quorum, and loyalty to a live leader.
 * Breaking these endangers no data, only the peace of the group; so they need checks of their own.
 */
export class Conduct {
  readonly #options: Omit<RaftOptions, 'seed' | 'firstReadKey'>
  #ticks = 0
  #heardLeaderAt = Number.NEGATIVE_INFINITY
  #leaderSince = 0
  readonly #heardAt = new Map<NodeId, number>()
  readonly #preVotes = new Map<Term, Set<NodeId>>()

  constructor(options: Omit<RaftOptions, 'seed' | 'firstReadKey'>) {
    this.#options = options
  }

  /** Before a step: notes what the node is about to learn. */
  before(event: RaftEvent, status: RaftStatus): void {
    if (event.kind === 'tick') this.#ticks++
    // The leader's process is probably gone: nothing is owed to it until it is heard again.
    if (event.kind === 'unreachable' && event.peer === status.leader) this.#heardLeaderAt = Number.NEGATIVE_INFINITY
    if (event.kind !== 'receive') return
    const { message } = event
    const isLeaders = message.kind === 'appendEntries' || message.kind === 'installSnapshot'
    if (isLeaders && message.term >= status.currentTerm) this.#heardLeaderAt = this.#ticks
    const isAnswer = message.kind === 'appendEntriesResponse' || message.kind === 'installSnapshotResponse'
    // Thesis §6.2 counts who answers; a node in doubt does not count.
    const isInDoubt = message.kind === 'appendEntriesResponse' && message.doubtful
    if (isAnswer && !isInDoubt && message.term === status.currentTerm) {
      this.#heardAt.set(message.from, this.#ticks)
    }
    if (message.kind === 'requestVoteResponse' && message.preVote && message.voteGranted) {
      const grants = this.#preVotes.get(message.term) ?? new Set()
      this.#preVotes.set(message.term, grants.add(message.from))
    }
  }

  /** After a step: judges what the node did. */
  after(
    event: RaftEvent,
    was: RaftStatus,
    log: readonly Entry[],
    effects: readonly RaftEffect[],
    is: RaftStatus,
  ): void {
    if (event.kind === 'receive' && event.message.kind === 'requestVote')
      this.#onRequest(event.message, was, log, effects)
    // A word of a commit is a fact, of whatever term the node is that tells it (election.ts).
    const isFact = event.kind === 'receive' && 'committed' in event.message && is.commitIndex > was.commitIndex
    if (event.kind === 'receive' && event.message.term < was.currentTerm && !isFact) {
      assert(!effects.some((effect) => effect.kind === 'write'), '§5.1: a message of an earlier term changes nothing')
    }
    for (const effect of effects) {
      if (effect.kind !== 'roleChanged') continue
      // Thesis §3.10: a leader that hands over vouches for the campaign.
      const isHeir = event.kind === 'receive' && event.message.kind === 'timeoutNow'
      if (effect.role === 'candidate' && !isHeir) this.#onCandidate(effect.term, was.configuration)
      if (effect.role !== 'follower') this.#onCampaign(was)
      if (effect.role === 'leader') this.#leaderSince = this.#ticks
    }
    // New voters get the time that a new leader gets.
    if (was.configuration !== is.configuration) this.#leaderSince = this.#ticks
    if (is.role === 'leader') this.#onLeads(is.configuration)
  }

  #onCampaign({ configuration, doubtful, lastApplied, commitIndex }: RaftStatus): void {
    assert(isVoterIn(configuration, this.#options.nodeId), 'a node without a vote never campaigns')
    assert(!doubtful, 'a node in doubt never campaigns')
    assert(lastApplied === commitIndex, 'nobody campaigns with a configuration that may be outdated')
  }

  #onRequest(request: RequestVote, was: RaftStatus, log: readonly Entry[], effects: readonly RaftEffect[]): void {
    const { electionTimeoutTicks } = this.#options
    const isLoyal =
      was.role === 'leader' || (was.leader !== undefined && this.#ticks - this.#heardLeaderAt < electionTimeoutTicks)
    if (isLoyal && !request.leadershipTransfer && request.term > was.currentTerm) {
      assert(effects.length === 0, 'thesis §4.2.3: who hears a live leader ignores requests for votes')
    }
    const answers = effects.flatMap((effect) => {
      if (effect.kind === 'send') return [effect.message]
      return effect.kind === 'write' ? effect.unlocks : []
    })
    if (!answers.some((answer) => answer.kind === 'requestVoteResponse' && answer.voteGranted)) return
    assert(!was.doubtful, 'a node in doubt never votes')
    assert(!was.configuration.retired.includes(request.from), 'nobody votes for a node that is known to be removed')
    const last = log.at(-1)
    const lastTerm = last?.term ?? 0
    const isUpToDate =
      request.lastLogTerm > lastTerm || (request.lastLogTerm === lastTerm && request.lastLogIndex >= log.length)
    assert(isUpToDate, '§5.4.1: nobody votes, nor pre-votes, for a log that lacks entries of its own')
  }

  #onCandidate(term: Term, configuration: Configuration): void {
    const grants = this.#preVotes.get(term)
    const isGranted = (voter: NodeId) => voter === this.#options.nodeId || grants?.has(voter) === true
    assert(hasQuorum(configuration, isGranted), 'thesis §9.6: nobody raises its term without a quorum of pre-votes')
  }

  #onLeads(configuration: Configuration): void {
    const patience = 2 * this.#options.electionTimeoutTicks
    if (this.#ticks - this.#leaderSince <= patience) return
    const isHeard = (voter: NodeId) => this.#ticks - (this.#heardAt.get(voter) ?? Number.NEGATIVE_INFINITY) <= patience
    const counts = (voter: NodeId) => voter === this.#options.nodeId || isHeard(voter)
    assert(hasQuorum(configuration, counts), 'thesis §6.2: a leader that hears no quorum steps down')
  }
}
