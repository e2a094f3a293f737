import { type Mutant, mutant } from './mutant.ts'

/** Mistakes in two-phase commit, in the ledger, and around the databases. */
export const PROTOCOL_MUTANTS: readonly Mutant[] = [
  mutant(
    'told-at-append',
    'the caller hears "committed" when the leader has appended the decision, not when it is committed and applied',
    'src/coordinator/leadership.ts',
    '    this.#queue.add({ command: this.#firstRecord(proposer, boundedMs, branches), proposer, reserve: false })\n',
    "    const first = this.#firstRecord(proposer, boundedMs, branches)\n    this.#queue.add({ command: first, proposer, reserve: false })\n    if (first.kind === 'commit') this.#answerAll(proposer, { kind: 'outcome', outcome: { kind: 'committed' } })\n",
  ),
  mutant(
    'abort-from-stale-state',
    'an unknown transaction is called aborted without the record that forbids its commit (presumed abort, P5)',
    'src/coordinator/leadership.ts',
    '    if (settle) return this.#abortUnknown(tombstone, reply)\n',
    "    if (settle) return { kind: 'outcome', outcome: { kind: 'aborted', reason: 'presumed', participant: undefined } }\n",
  ),
  mutant(
    'commits-before-every-vote',
    'the coordinator decides to commit at the first vote',
    'src/coordinator/vote-round.ts',
    '    this.#branches.set(branch, { ...record, vote, evidence })\n    if (this.#missing.size === 0)',
    '    this.#branches.set(branch, { ...record, vote, evidence })\n    if (this.#missing.size >= 0)',
  ),
  mutant(
    'forgets-before-every-ack',
    'a transaction is completed when the first branch has acknowledged',
    'src/coordinator/decision-delivery.ts',
    '    if (delivery.branches.length > 0) return\n    this.#undelivered.delete(txid)',
    '    this.#undelivered.delete(txid)',
  ),
  mutant(
    'decisions-not-told-again',
    'a new leader does not tell the decisions that its predecessor left undelivered (P7)',
    'src/coordinator/leadership.ts',
    "if (effect.kind === 'decided') this.delivery.start(effect.txid, effect.outcome, effect.branches)\n      else this.carryOut(effect)",
    "if (effect.kind !== 'decided') this.carryOut(effect)",
  ),
  {
    name: 'last-decision-wins',
    // Each of the two hides the other: a leader has one decision of a transaction under way, and the ledger takes one.
    mistake: 'an abort is written while a commit is under way, and the later record overturns the first (P2)',
    edits: [
      {
        file: 'src/txn/apply.ts',
        find: '  if (isAnswered(state, open, txid, undefined, effects)) return\n  // P5: also for a txid nobody knew.',
        replace:
          '  if (open === undefined && isAnswered(state, open, txid, undefined, effects)) return\n  if (open !== undefined) state.open.delete(txid)\n  // P5: also for a txid nobody knew.',
      },
      {
        file: 'src/coordinator/leadership.ts',
        find: 'if (open !== undefined) {\n      open.wait(reply)\n      open.round?.abort(',
        replace: 'if (open?.round !== undefined) {\n      open.wait(reply)\n      open.round?.abort(',
      },
    ],
  },
  mutant(
    'watermark-not-checked',
    'a commit that is older than the watermark is taken although its abort may have been forgotten',
    // Asked by the ledger, and before by whoever takes the request.
    'src/txn/knowledge.ts',
    'return state.watermarkMs > 0 && txidTimeMs(txid) < state.watermarkMs',
    'return state.watermarkMs > 0 && txidTimeMs(txid) < 0',
  ),
  mutant(
    'unknown-gid-is-success',
    'a branch that its database does not know is taken for settled',
    'src/resources/postgres/settle.ts',
    "if (state === '42704') return { kind: 'unknownGid' }",
    "if (state === '42704') return { kind: 'done' }",
  ),
  mutant(
    'prepare-tag-ignored',
    'PostgreSQL answers ROLLBACK to PREPARE TRANSACTION in a failed transaction, and it passes for a vote to commit',
    // The question before it, whose transaction this is, fails in a failed transaction as well: it goes with the tag.
    'src/resources/postgres/branch.ts',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: source text
    "    const text = `${IDENTIFY}; PREPARE TRANSACTION '${this.#gid}'`\n    const reply = await decisive('prepare', this.#gid, this.#resource, () => held.run(text))\n",
    // biome-ignore lint/suspicious/noTemplateCurlyInString: source text
    "    const text = `PREPARE TRANSACTION '${this.#gid}'`\n    const reply = await decisive('prepare', this.#gid, this.#resource, () => held.run(text))\n    if (reply !== undefined) return { kind: 'commit', evidence: undefined }\n",
  ),
  mutant(
    'vote-before-prepare',
    'an application asks for the decision while its databases are still preparing',
    'src/client/committer.ts',
    'const votes = await tx.unlessEnded(Promise.all(tx.enlistments.map(prepare)))',
    "const votes = await tx.unlessEnded(Promise.all(tx.enlistments.map(async (enlistment): Promise<PrepareResult> => {\n      void prepare(enlistment).catch(() => undefined)\n      await enlistment.opening\n      enlistment.phase = 'prepared'\n      return { kind: 'commit', evidence: undefined }\n    })))",
  ),
  mutant(
    'lost-prepare-is-an-abort-elsewhere',
    'an application that hears nothing of the decision rolls its branches back instead of asking',
    'src/client/committer.ts',
    '    this.#parts.inDoubt.watch(settlement)\n    return new OutcomeUnknownError(settlement.txid, what, { cause })',
    "    void this.#parts.settler.finish(settlement, 'abort').catch(() => undefined)\n    return new OutcomeUnknownError(settlement.txid, what, { cause })",
  ),
  mutant(
    'resolver-presumes-without-asking',
    'the resolver rolls back the branch of a transaction that it has not heard of',
    'src/coordinator/branch-settler.ts',
    "    case 'preparing':\n    case 'unknown':\n      return undefined\n    default:",
    "    case 'preparing':\n      return undefined\n    case 'unknown':\n      return 'abort'\n    default:",
  ),
  mutant(
    'resolver-takes-absence-for-success',
    'a committed branch that is not listed any more is acknowledged without evidence',
    'src/coordinator/branch-settler.ts',
    "return decision === 'commit' ? evidence === 'committed' : evidence !== 'committed'",
    'return true',
  ),
  mutant(
    'xa-ownership-ignored',
    'MariaDB denies a branch whose session lives, and that passes for a branch that is gone and settled',
    'src/resources/mysql/settle.ts',
    'if (errno === Errno.unknownXid) return unknownOrBusy(run, identity)',
    "if (errno === Errno.unknownXid) return { kind: 'done' }",
  ),
  {
    name: 'poisoned-branch-commits',
    // Each of the two hides the other: whoever commits looks for errors, and so does the branch when it is prepared.
    mistake: 'an error inside a MariaDB branch does not spoil it, so half of its work is prepared',
    edits: [
      {
        file: 'src/client/committer.ts',
        find: '      if (poisonedBy !== undefined) throw votedAbort(tx.txid, name, poisonedBy)\n',
        replace: '      void poisonedBy\n',
      },
      {
        file: 'src/resources/branch-life.ts',
        find: 'const spoilt = this.poisonedBy ?? held?.lost\n    if (held === undefined',
        replace: 'const spoilt = held?.lost\n    if (held === undefined',
      },
    ],
  },
  {
    name: 'wall-clock-deadline',
    mistake: 'deadlines and re-sends follow the wall clock, which jumps',
    edits: [
      ['this.#doneTick = this.#tickOf(clock.monotonicMs())', 'this.#doneTick = this.#tickOf(clock.wallMs())'],
      [
        'this.#doneTick = this.#tickOf(this.#clock.monotonicMs())',
        'this.#doneTick = this.#tickOf(this.#clock.wallMs())',
      ],
      ['this.#tickOf(this.#clock.monotonicMs() + delayMs)', 'this.#tickOf(this.#clock.wallMs() + delayMs)'],
      ['const nowMs = this.#clock.monotonicMs()', 'const nowMs = this.#clock.wallMs()'],
    ].map(([find = '', replace = '']) => ({ file: 'src/coordinator/timing-wheel.ts', find, replace })),
  },
]
