import type { NodeStatus } from '../server/index.ts'
import type { CoordinatorAnswer } from './coordinator-answer.ts'
import type { Finding } from './finding.ts'

/** When the coordinators of these tests are asked. */
export const NOW_MS = 1_800_000_000_000

/** Node `node` of a fleet of three that is well; node 1 leads. */
export function statusOf(node: number, changes: Partial<NodeStatus> = {}): NodeStatus {
  return {
    cluster: 'trips',
    node,
    version: '1.0.0',
    uptimeMs: 60_000,
    residentBytes: 1e8,
    wallMs: NOW_MS,
    role: node === 1 ? 'leader' : 'follower',
    serving: node === 1,
    leader: 1,
    term: 4,
    commitIndex: 9,
    lastApplied: 9,
    lastIndex: 9,
    log: { bytesOnDisk: 5e7, spaceLow: false },
    removed: false,
    members: [1, 2, 3].map((id) => ({
      node: id,
      role: 'voter',
      address: addressOf(id),
      connected: true,
      lag: undefined,
    })),
    transactions: { preparing: 0, decided: 0, finished: 0, committed: 0, aborted: 0, heuristics: 0 },
    guard: undefined,
    resources: [],
    configured: [{ name: 'flights', kind: 'postgres', place: 'db:5432/trips' }],
    ...changes,
  }
}

/** What came of asking it. */
export function answerOf(node: number, changes: Partial<NodeStatus> = {}): CoordinatorAnswer {
  const status = statusOf(node, changes)
  return { address: addressOf(node), status, error: undefined, askedMs: NOW_MS - 5, answeredMs: NOW_MS + 5 }
}

export function silent(node: number): CoordinatorAnswer {
  const error = `${addressOf(node)} does not answer (ECONNREFUSED)`
  return { address: addressOf(node), status: undefined, error, askedMs: NOW_MS, answeredMs: NOW_MS }
}

export function addressOf(node: number): string {
  return `10.0.0.${node}:7400`
}

/** What is not ok: `error noQuorum`. */
export function worse(findings: readonly Finding[]): readonly string[] {
  return findings.filter(({ level }) => level !== 'ok').map(({ level, what }) => `${level} ${what}`)
}
