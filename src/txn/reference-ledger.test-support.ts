import { type Txid, txidTimeMs } from '../base/index.ts'
import { BUCKET_SPAN_MS } from './outcome-table.ts'
import type { BranchRecord, Knowledge, LedgerCommand, Outcome } from './types.ts'

interface ReferenceSettlement {
  readonly txid: Txid
  readonly branch: number
  action: string
  standing: string | undefined
  found: string | undefined
  seen: boolean
}

interface ReferenceTransaction {
  outcome: Outcome | undefined
  branches: BranchRecord[]
  completed: boolean
  /** branch → found */
  findings: Map<number, string>
}

/**
 * The ledger written for reading only: one map, never a table, answers as words. It repeats the rules from their prose
 * (DESIGN §4, types.ts), so that a mistake would have to be made twice.
 */
export class ReferenceLedger {
  readonly #all = new Map<Txid, ReferenceTransaction>()
  #watermarkMs = 0
  #guard: { fromMs: number; beforeMs: number } | undefined
  readonly #book: ReferenceSettlement[] = []

  /** Applies one command and answers with its effects as `kind txid detail` lines. */
  apply(command: LedgerCommand): string[] {
    if (command.kind === 'watermark') return this.#raise(command.beforeMs)
    if (command.kind === 'guard') return this.#setGuard(command.beforeMs)
    if (command.kind === 'completed') return command.txids.flatMap((txid) => this.#complete(txid))
    if (command.kind === 'settle') return this.#order(command)
    if (command.kind === 'settled') return this.#settled(command)
    if (command.kind === 'acknowledged') return this.#acknowledge(command.txid)
    const { txid } = command
    const known = this.#all.get(txid)
    if (command.kind === 'heuristic') return this.#find(txid, command.branch, command.found)
    if (this.isGuarded(txid)) return [`refused ${txid} guarded`]
    if (known?.outcome !== undefined) return [this.#late(txid, known, known.outcome, command)]
    // A forgotten transaction with a finding has no outcome but is completed: it counts as forgotten.
    if (known === undefined || known.completed) {
      if (this.#isOld(txid)) return [`refused ${txid} olderThanWatermark`]
      return this.#first(txid, command)
    }
    return this.#whilePreparing(txid, known, command)
  }

  knowledge(txid: Txid): Knowledge {
    const known = this.#all.get(txid)
    if (known?.outcome !== undefined) return known.outcome
    if (known !== undefined && !known.completed) return { kind: 'preparing' }
    return { kind: this.#isOld(txid) && !this.isGuarded(txid) ? 'forgotten' : 'unknown' }
  }

  isGuarded(txid: Txid): boolean {
    if (this.#guard === undefined || txidTimeMs(txid) >= this.#guard.beforeMs) return false
    const known = this.#all.get(txid)
    if (known?.outcome !== undefined) return false
    return (known !== undefined && !known.completed) || txidTimeMs(txid) >= this.#guard.fromMs
  }

  /** What operators did, as `txid branch action standing` words; `!` where somebody should look. */
  get book(): string[] {
    return this.#book.map(({ txid, branch, action, standing, seen }) => {
      const open = !seen && standing !== 'asDecided' && action !== 'acknowledge'
      return `${txid} ${branch} ${action} ${standing}${open ? '!' : ''}`
    })
  }

  #order({ txid, branch, action }: Extract<LedgerCommand, { kind: 'settle' }>): string[] {
    const waiting = this.#waiting(txid, branch)
    if (waiting !== undefined) waiting.action = action
    else this.#book.push({ txid, branch, action, standing: 'ordered', found: undefined, seen: false })
    return []
  }

  #settled({ txid, branch, found }: Extract<LedgerCommand, { kind: 'settled' }>): string[] {
    const entry = this.#book.findLast(
      (each) => each.txid === txid && each.branch === branch && each.standing === 'ordered',
    )
    if (entry === undefined) return []
    const { kind } = this.knowledge(txid)
    entry.found = found
    entry.standing = standing(found, kind)
    if (entry.standing === 'against' || entry.standing === 'unclear') this.#find(txid, branch, found)
    return []
  }

  #acknowledge(txid: Txid): string[] {
    const known = this.#all.get(txid)
    const seen = new Map<number, string>()
    for (const entry of this.#book) {
      if (entry.txid !== txid || entry.action === 'acknowledge') continue
      if (!entry.seen && entry.standing !== 'asDecided') seen.set(entry.branch, entry.found ?? 'none')
    }
    for (const [branch, found] of known?.findings ?? []) seen.set(branch, found)
    if (seen.size === 0) return []
    for (const entry of this.#book) if (entry.txid === txid) entry.seen = true
    known?.findings.clear()
    // A forgotten one was kept for its findings alone.
    if (known?.completed && known.outcome === undefined) this.#all.delete(txid)
    this.#forget()
    for (const [branch, found] of seen)
      this.#book.push({ txid, branch, action: 'acknowledge', standing: undefined, found, seen: true })
    return []
  }

  #waiting(txid: Txid, branch: number): ReferenceSettlement | undefined {
    return this.#book.find(
      (entry) => entry.txid === txid && entry.branch === branch && entry.standing === 'ordered' && !entry.seen,
    )
  }

  #find(txid: Txid, branch: number, found: string): string[] {
    const known = this.#all.get(txid)
    for (const entry of this.#book) {
      if (entry.txid !== txid || entry.branch !== branch) continue
      if (entry.action === 'acknowledge' && (found === 'none' || entry.found === found)) return []
      if (found === 'none' && entry.standing === 'asDecided') return []
    }
    if (known === undefined && !this.#isOld(txid)) return []
    const target = known ?? this.#add(txid, [], undefined, true)
    const before = target.findings.get(branch)
    if (before === undefined || before === 'none') target.findings.set(branch, found)
    return []
  }

  #setGuard(beforeMs: number): string[] {
    if (beforeMs === 0) {
      const waiting = this.open.filter((txid) => this.isGuarded(txid))
      this.#guard = undefined
      return waiting.map((txid) => `askVotes ${txid} ${names(this.#all.get(txid)?.branches ?? [])}`)
    }
    const guard = {
      fromMs: this.#guard?.fromMs ?? this.#watermarkMs,
      beforeMs: Math.max(this.#guard?.beforeMs ?? 0, beforeMs),
    }
    if (guard.fromMs < guard.beforeMs) this.#guard = guard
    return []
  }

  /** Txids of open transactions, in log order. */
  get open(): Txid[] {
    return [...this.#all].filter(([, { completed }]) => !completed).map(([txid]) => txid)
  }

  get finishedCount(): number {
    return [...this.#all].filter(([txid, one]) => one.completed && one.outcome && !this.#isDropped(txid)).length
  }

  /** What was found of each branch, as `branch:found` words. */
  findings(txid: Txid): string[] {
    return [...(this.#all.get(txid)?.findings ?? [])].map(([branch, found]) => `${branch}:${found}`)
  }

  #first(
    txid: Txid,
    command: Exclude<
      LedgerCommand,
      { kind: 'watermark' | 'completed' | 'heuristic' | 'guard' | 'settle' | 'settled' | 'acknowledged' }
    >,
  ): string[] {
    if (command.kind === 'prepared') {
      this.#add(txid, command.branches, undefined, false)
      return [`askVotes ${txid} ${names(command.branches)}`]
    }
    if (command.branches === undefined) return [`refused ${txid} noBranches`]
    return this.#decide(txid, this.#add(txid, command.branches, undefined, false), outcomeOf(command))
  }

  #whilePreparing(
    txid: Txid,
    known: ReferenceTransaction,
    command: Exclude<
      LedgerCommand,
      { kind: 'watermark' | 'completed' | 'heuristic' | 'guard' | 'settle' | 'settled' | 'acknowledged' }
    >,
  ): string[] {
    const named = command.branches ?? known.branches
    if (command.kind === 'aborted') {
      for (const one of named)
        if (!known.branches.some((other) => other.branch === one.branch)) known.branches.push(one)
      return this.#decide(txid, known, outcomeOf(command))
    }
    if (names(named) !== names(known.branches)) return [`refused ${txid} otherBranches`]
    if (command.kind === 'prepared') return []
    known.branches = known.branches.map((branch) => ({
      ...branch,
      vote: branch.vote ?? named.find((other) => other.branch === branch.branch)?.vote,
    }))
    return this.#decide(txid, known, outcomeOf(command))
  }

  #late(txid: Txid, known: ReferenceTransaction, outcome: Outcome, command: LedgerCommand): string {
    const named = command.kind === 'prepared' || command.kind === 'commit' ? command.branches : undefined
    const differs = named !== undefined && names(named) !== names(known.branches)
    if (outcome.kind === 'committed' && differs) return `refused ${txid} otherBranches`
    return `alreadyDecided ${txid} ${words(outcome)}`
  }

  #decide(txid: Txid, known: ReferenceTransaction, outcome: Outcome): string[] {
    known.outcome = outcome
    for (const entry of this.#book) {
      if (entry.txid !== txid || entry.standing !== 'undecided') continue
      // One that somebody has seen already keeps its place, and is compared all the same.
      entry.standing = standing(entry.found ?? 'none', outcome.kind)
      const before = known.findings.get(entry.branch)
      if (entry.standing !== 'asDecided' && (before === undefined || before === 'none'))
        known.findings.set(entry.branch, entry.found ?? 'none')
    }
    const toTell = known.branches.filter(({ vote }) => vote !== 'readOnly')
    const decided = `decided ${txid} ${words(outcome)} ${names(toTell)}`
    return toTell.length > 0 ? [decided] : [decided, ...this.#complete(txid)]
  }

  #complete(txid: Txid): string[] {
    const known = this.#all.get(txid)
    if (known?.outcome === undefined || known.completed) return []
    known.completed = true
    this.#forget()
    return [`completed ${txid}`]
  }

  #raise(beforeMs: number): string[] {
    this.#watermarkMs = Math.max(this.#watermarkMs, beforeMs)
    this.#forget()
    return []
  }

  #forget(): void {
    for (const [txid, { completed, findings }] of this.#all) {
      if (completed && findings.size === 0 && this.#isDropped(txid)) this.#all.delete(txid)
    }
  }

  #add(txid: Txid, branches: readonly BranchRecord[], outcome: undefined, completed: boolean): ReferenceTransaction {
    const added = { outcome, branches: [...branches], completed, findings: new Map() }
    this.#all.set(txid, added)
    return added
  }

  #isOld(txid: Txid): boolean {
    return txidTimeMs(txid) < this.#watermarkMs
  }

  #isDropped(txid: Txid): boolean {
    const spanEndMs = Math.floor(txidTimeMs(txid) / BUCKET_SPAN_MS) * BUCKET_SPAN_MS + BUCKET_SPAN_MS
    return spanEndMs <= this.#watermarkMs
  }
}

function standing(found: string, known: Knowledge['kind']): string {
  if (known === 'unknown' || known === 'preparing') return 'undecided'
  if (known === 'committed') return found === 'none' ? 'unclear' : found === 'committed' ? 'asDecided' : 'against'
  return found === 'committed' ? 'against' : 'asDecided'
}

/** An outcome as words. */
export function words(outcome: Outcome): string {
  return outcome.kind === 'committed' ? 'committed' : `aborted(${outcome.reason},${outcome.participant})`
}

/** Which branches these are, whatever their order, votes and evidence. */
export function names(branches: readonly BranchRecord[]): string {
  const list = branches.map(({ branch, kind, participant }) => `${branch}/${kind}/${participant}`)
  return list.sort().join('+')
}

function outcomeOf(command: Extract<LedgerCommand, { kind: 'commit' | 'aborted' }> | { kind: 'prepared' }): Outcome {
  if (command.kind !== 'aborted') return { kind: 'committed' }
  return { kind: 'aborted', reason: command.reason, participant: command.participant }
}
