import { type ClusterId, makeGid } from '../../base/index.ts'
import type { BranchIdentity, Evidence, PreparedBranch, Resource, SettleResult } from '../../resources/index.ts'
import { BRANCHES, type DecisionRecord } from './record.ts'

/**
 * What a resolver sees of the pretended databases: a branch is prepared until its application, or the resolver, ended it.
 * It answers at once and never fails: databases that behave as real ones are the business of other workloads.
 */
export function decisionsResource(
  branchNumber: 0 | 1,
  records: () => ReadonlyMap<string, DecisionRecord>,
): Resource<never> {
  const branch = BRANCHES[branchNumber]!
  const end = async ({ txid }: BranchIdentity, how: 'committed' | 'aborted'): Promise<SettleResult> => {
    const record = records().get(txid)
    if (record === undefined || record.ended[branchNumber] !== undefined) return { kind: 'unknownGid' }
    record.ended[branchNumber] = how
    return { kind: 'done' }
  }
  return {
    name: participantOf(branchNumber),
    kind: 'postgres',
    begin: () => Promise.reject(new Error('nothing is begun here')),
    check: async () => [],
    inDoubt: {
      list: async (cluster) => [...prepared(cluster, branchNumber, records())],
      commit: (identity) => end(identity, 'committed'),
      abort: (identity) => end(identity, 'aborted'),
      evidence: async ({ txid }): Promise<Evidence> => records().get(txid)?.ended[branch] ?? 'none',
      forgetEvidence: async () => {},
      close: async () => {},
    },
  }
}

/** The name of the pretended database that holds the branches of this number. */
export function participantOf(branchNumber: number): string {
  return `database-${branchNumber}`
}

function* prepared(
  cluster: ClusterId,
  branchNumber: 0 | 1,
  records: ReadonlyMap<string, DecisionRecord>,
): Iterable<PreparedBranch> {
  const branch = BRANCHES[branchNumber]!
  for (const { txid, ended } of records.values()) {
    if (ended[branchNumber] === undefined) {
      yield { gid: makeGid(cluster, txid, branch), cluster, txid, branch, ageMs: undefined }
    }
  }
}
