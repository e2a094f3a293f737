import type { Checker } from './checker.ts'

/** How a participant voted; it votes once. */
export type GivenVote = 'commit' | 'readOnly' | 'abort'

interface Attempts {
  /** Commit requests that were sent. */
  sent: number
  /** Those of them that a coordinator refused for good: nothing was done with them. */
  refused: number
}

/**
 * Who voted what, and who asked for what:
 *
 * - unanimity: a transaction commits only when some commit request named branches which all voted `commit` or `readOnly`;
 * - P4: a participant never changes its vote;
 * - P2: a transaction is committed with one set of branches only;
 * - refused: a request of which a coordinator said "nothing was done" has no effect.
 */
export class Votes {
  readonly #checker: Checker
  /** For each transaction the sets of branches that commit requests named. */
  readonly #requested = new Map<string, (readonly string[])[]>()
  readonly #votes = new Map<string, GivenVote>()
  readonly #attempts = new Map<string, Attempts>()
  readonly #committed = new Map<string, readonly string[]>()

  constructor(checker: Checker) {
    this.#checker = checker
  }

  /** A commit request leaves. @param branches participants and branches, one name each */
  requested(txid: string, branches: readonly string[]): void {
    const sets = this.#requested.get(txid)
    if (sets === undefined) this.#requested.set(txid, [branches])
    else if (!sets.some((set) => isSame(set, branches))) sets.push(branches)
    this.#attemptsOf(txid).sent += 1
  }

  /** A coordinator answered one commit request with a refusal that is final for it. */
  refused(txid: string): void {
    this.#attemptsOf(txid).refused += 1
  }

  voted(txid: string, branch: string, vote: GivenVote): void {
    const key = `${txid}/${branch}`
    const before = this.#votes.get(key)
    if (before !== undefined && before !== vote) {
      this.#checker.fail('P4', `${branch} of ${txid} voted "${before}" and now "${vote}"`)
    }
    this.#votes.set(key, vote)
  }

  /** Somebody heard that it is committed. @param branches those that its request named, when it was a commit request */
  committed(txid: string, branches?: readonly string[]): void {
    if (branches !== undefined) this.#checkSet(txid, branches)
    const sets = this.#requested.get(txid) ?? []
    const isUnanimous = sets.some((branches) => branches.every((branch) => this.#saysYes(txid, branch)))
    if (!isUnanimous) {
      const said = sets.map((set) =>
        set.map((branch) => `${branch}: ${this.#votes.get(`${txid}/${branch}`)}`).join(', '),
      )
      this.#checker.fail('unanimity', `${txid} is committed and its votes are ${said.join(' or ') || 'none'}`)
    }
    const { sent, refused } = this.#attemptsOf(txid)
    if (sent === refused) {
      this.#checker.fail('refused', `${txid} is committed although each of its ${sent} requests was refused for good`)
    }
  }

  /** The branches with which somebody heard that it is committed. */
  committedSet(txid: string): readonly string[] {
    return this.#committed.get(txid) ?? []
  }

  #checkSet(txid: string, branches: readonly string[]): void {
    const before = this.#committed.get(txid)
    if (before === undefined) this.#committed.set(txid, branches)
    else if (!isSame(before, branches)) {
      this.#checker.fail('P2', `${txid} is committed with ${before.join(', ')} and also with ${branches.join(', ')}`)
    }
  }

  #saysYes(txid: string, branch: string): boolean {
    const vote = this.#votes.get(`${txid}/${branch}`)
    return vote === 'commit' || vote === 'readOnly'
  }

  #attemptsOf(txid: string): Attempts {
    let attempts = this.#attempts.get(txid)
    if (attempts === undefined) {
      attempts = { sent: 0, refused: 0 }
      this.#attempts.set(txid, attempts)
    }
    return attempts
  }
}

function isSame(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((branch) => b.includes(branch))
}
