import type { NodeStatus } from '../server/asking/index.ts'

/** What one address came to. */
export interface StatusAnswer {
  readonly address: string
  readonly status?: NodeStatus
  readonly error?: string
}

const CAMPAIGNING: ReadonlySet<NodeStatus['role']> = new Set(['preCandidate', 'candidate'])
const NOBODY = 'No leader answered: nothing can be decided now. In doubt stays in doubt until a majority is up.'
const REMOVED =
  'Only nodes answered that were removed from the fleet: give the addresses of its members (--coordinators).'

/**
 * Why no leader is among the answers. "There is none" is only said when everybody who could lead was asked: an operator
 * acts on it.
 */
export function explainLeaderless(answers: readonly StatusAnswer[]): string {
  const heard = answers.flatMap(({ status }) => status ?? [])
  // What a removed node says of the others is of the past.
  const seen = heard.filter(({ removed }) => !removed).sort((a, b) => b.term - a.term)
  if (seen.length === 0 && heard.length > 0) return REMOVED
  // A learner believes in the leader that it heard last for as long as it hears of no other.
  const isContested = seen.some(({ role, term }) => CAMPAIGNING.has(role) && term >= (seen[0]?.term ?? 0))
  const named = isContested ? undefined : seen.find(({ leader }) => leader !== undefined)?.leader
  if (named !== undefined) return explainNamed(named, seen, answers)
  // Of a node that waits to be added, the members are none.
  const voters = seen.map(votersOf).reduce((most, each) => (each.length > most.length ? each : most), [])
  const asked = voters.filter(({ node, address }) => isAsked(answers, node, address))
  // An address without an answer may be another name of a member's.
  const unknown = answers.filter((each) => each.status === undefined && !voters.some((v) => v.address === each.address))
  if (asked.length + unknown.length >= voters.length) return NOBODY
  return `None of the addresses asked leads (${asked.length} of ${voters.length} voters asked): give all addresses (--coordinators).`
}

function explainNamed(leader: number, seen: readonly NodeStatus[], answers: readonly StatusAnswer[]): string {
  if (seen.some(({ node }) => node === leader)) {
    return `Node ${leader} was elected, or deposed, only just: nothing can be decided at this moment. Ask again.`
  }
  const address = seen.flatMap(({ members }) => members).find(({ node }) => node === leader)?.address ?? ''
  if (answers.some((each) => each.address === address)) {
    return `Node ${leader} leads by the others' account, but did not answer here. Ask again: if it has just died, another one leads in a moment.`
  }
  const place = address === '' ? '' : ` (${address})`
  return `Node ${leader}${place} leads, but was not asked: give all addresses (--coordinators).`
}

function votersOf({ members }: NodeStatus): NodeStatus['members'] {
  return members.filter(({ role }) => role !== 'learner')
}

function isAsked(answers: readonly StatusAnswer[], node: number, at: string): boolean {
  return answers.some(({ address, status }) => (status === undefined ? address === at : status.node === node))
}
