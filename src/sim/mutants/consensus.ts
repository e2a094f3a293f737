import { type Mutant, mutant } from './mutant.ts'

/** Mistakes in consensus. Most of them were made in a real implementation once. */
export const CONSENSUS_MUTANTS: readonly Mutant[] = [
  mutant(
    'commit-before-majority',
    'an entry counts as committed when half of the voters have it',
    'src/raft/quorum.ts',
    'return Math.floor(count / 2) + 1',
    'return Math.max(1, Math.floor(count / 2))',
  ),
  mutant(
    'joint-needs-one-majority',
    'a joint configuration decides with a majority of the incoming voters alone',
    'src/raft/quorum.ts',
    'return votersOutgoing.length === 0 ? incoming : Math.min(incoming, reachedByMajority(votersOutgoing, reached))',
    'return votersOutgoing.length === 0 ? incoming : Math.max(incoming, reachedByMajority(votersOutgoing, reached))',
  ),
  mutant(
    'vote-not-persisted',
    'a vote leaves the node before it is on disk, and never gets there',
    'src/raft/core.ts',
    '    this.outbox.writeHardState()\n',
    '    if (votedFor === undefined || votedFor === this.nodeId) this.outbox.writeHardState()\n',
  ),
  mutant(
    'acknowledged-before-durable',
    'a follower acknowledges entries while they are on their way to its disk',
    'src/raft/outbox.ts',
    '    if (this.hasWrite) this.#unlocks.push(message)\n    else this.send(message)',
    "    if (this.hasWrite && message.kind !== 'appendEntriesResponse') this.#unlocks.push(message)\n    else this.send(message)",
  ),
  mutant(
    'replicas-of-an-old-term-counted',
    'an entry of an earlier term is committed by counting its replicas (Raft Figure 8)',
    'src/raft/commit.ts',
    "if (index <= core.commitIndex || index < leading.noopIndex) return\n  assert(core.log.termAt(index) === core.currentTerm, 'a leader commits entries of its own term')",
    'if (index <= core.commitIndex) return',
  ),
  mutant(
    'truncates-unconditionally',
    'a follower cuts its log at every message, also at a late one that conflicts with nothing',
    'src/raft/following.ts',
    '    if (!log.matches(entry.index, entry.term)) return at\n  }\n  return entries.length',
    '    if (!log.matches(entry.index, entry.term)) return at\n  }\n  return entries.length > 0 && log.lastIndex > prevLogIndex + entries.length ? 0 : entries.length',
  ),
  mutant(
    'commits-past-the-last-new-entry',
    "a follower commits up to leaderCommit although what lies behind the message may not be the leader's",
    'src/raft/following.ts',
    'lower(message.leaderCommit, lastNewIndex)',
    'lower(message.leaderCommit, core.log.lastIndex)',
  ),
  mutant(
    'consistency-check-skipped',
    'entries are appended without asking whether the one before them matches',
    'src/raft/following.ts',
    'if (core.log.matches(aligned.prevLogIndex, aligned.prevLogTerm)) accept(core, aligned)',
    'if (aligned.prevLogIndex <= core.log.lastIndex) accept(core, aligned)',
  ),
  mutant(
    'reads-without-a-quorum-round',
    'a leader answers reads without asking whether it still leads',
    'src/raft/read-index.ts',
    'if (!hasQuorum(core.configuration, echoed)) return',
    'void echoed',
  ),
  mutant(
    'lease-survives-a-pause',
    'a leader trusts its own ticks for a lease, which stand still while the process is frozen',
    'src/raft/read-index.ts',
    'if (!hasQuorum(core.configuration, echoed)) return',
    'if (core.electionElapsedTicks >= core.options.electionTimeoutTicks && !hasQuorum(core.configuration, echoed)) return',
  ),
  mutant(
    'read-joins-a-round-under-way',
    'a read is answered by a round of heartbeats that began before it arrived',
    'src/raft/reads.ts',
    '  add(read: WaitingRead): void {\n    this.#waiting.push(read)',
    '  add(read: WaitingRead): void {\n    ;(this.#asked ?? this.#waiting).push(read)',
  ),
  mutant(
    'read-key-reused',
    'a forwarded read goes under the key of the one before it, whose answer may still come',
    'src/raft/forwarded-reads.ts',
    'this.#nextKey = (readKey + 1) as ReadKey',
    'this.#nextKey = readKey',
  ),
  mutant(
    'no-barrier-after-election',
    "a new leader decides and answers before its own term's no-op is applied",
    'src/raft/roles.ts',
    '  core.outbox.writeEntries([noop])\n  announce(core)',
    "  core.outbox.writeEntries([noop])\n  announce(core)\n  core.leading.serving = true\n  core.outbox.emit({ kind: 'serving', term: core.currentTerm })",
  ),
  mutant(
    'votes-for-a-shorter-log',
    'a vote goes to a candidate whose log lacks committed entries (Raft §5.4.1)',
    'src/raft/election.ts',
    'return isFree && !isDecided && core.log.isUpToDate(request.lastLogIndex, request.lastLogTerm)',
    'return isFree && !isDecided',
  ),
  mutant(
    'duplicate-vote-counted-twice',
    'a repeated answer to a vote request counts as another vote',
    'src/raft/election.ts',
    '  core.votes.set(voter, granted)\n',
    '  core.votes.set(granted && core.votes.has(voter) ? (core.configuration.voters.find((other) => !core.votes.has(other)) ?? voter) : voter, granted)\n',
  ),
  mutant(
    'amnesiac-voter',
    'a node that lost a part of its log votes as if nothing had happened',
    'src/raft/core.ts',
    'this.isDoubtful = recovered.doubtful',
    'this.isDoubtful = false',
  ),
  mutant(
    'doubtful-answers-counted',
    'a leader counts the acknowledgements of a node that forgot its promises',
    'src/raft/leadership.ts',
    'return progress === undefined || progress.doubtful ? 0 : progress.matchIndex',
    'return progress === undefined ? 0 : progress.matchIndex',
  ),
  {
    name: 'change-before-a-commit-of-the-term',
    // With changes in force when applied, the commit of the change itself takes the part of the no-op's; what remains is
    // an earlier leader's change that lies uncommitted in the log.
    mistake: "members are changed before what earlier leaders left in the log is committed (Ongaro's mail of 2015)",
    edits: [
      {
        file: 'src/raft/configuration-change.ts',
        find: "  if (!leading.serving) return refused('notServing')\n",
        replace: '',
      },
      {
        file: 'src/raft/leadership.ts',
        find: 'this.pendingConfigurationIndex = offset(noopIndex, -1)',
        replace: 'this.pendingConfigurationIndex = 0 as LogIndex',
      },
    ],
  },
  mutant(
    'change-while-another-is-pending',
    'a second change of the members begins before the first is applied',
    'src/raft/configuration-change.ts',
    "  if (isChangePending(core, leading)) return refused('changePending')\n",
    '',
  ),
  mutant(
    'change-done-unconfirmed',
    'a change of the members is called done when the leader alone knows that it is committed',
    'src/replica/member-changes.ts',
    ' || isJoint(configuration) || !confirmed) return',
    ' || isJoint(configuration)) return',
  ),
  {
    name: 'removed-leader-counts-itself',
    mistake: 'a leader that was removed goes on to lead, and takes its own disk for that of a voter',
    edits: [
      {
        file: 'src/raft/configuration-change.ts',
        find: '    if (!core.isVoter) leave(core, leading)\n',
        replace: '',
      },
      {
        file: 'src/raft/commit.ts',
        find: 'voter === nodeId ? durability',
        replace: 'voter === nodeId || (!core.isVoter && voter === core.configuration.voters[0]) ? durability',
      },
    ],
  },
  mutant(
    'learner-counts',
    'a learner makes itself a candidate',
    'src/raft/election.ts',
    'return core.isVoter && !core.isDoubtful && !isInstalling && core.lastApplied === core.commitIndex',
    'return !core.isDoubtful && !isInstalling && core.lastApplied === core.commitIndex',
  ),
]
