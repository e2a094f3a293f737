import fc from 'fast-check'
import { type BranchId, type ClusterId, makeTxid, type NodeId } from '../../base/index.ts'
import type { AppendEntries, Entry, InstallSnapshot, LogIndex, ReadKey, Term } from '../../raft/index.ts'
import type { BranchRecord } from '../../txn/index.ts'
import type { Message } from '../messages.ts'

// Every message that the types allow, for property tests.

const u53 = fc.maxSafeNat()
const u32 = fc.nat(0xffffffff)
const nodeId = fc.integer({ min: 1, max: 65_535 }) as fc.Arbitrary<NodeId>
const term = u53 as fc.Arbitrary<Term>
const index = u53 as fc.Arbitrary<LogIndex>
const text = fc.string({ unit: 'grapheme', maxLength: 40 })
const optionalText = fc.option(text, { nil: undefined })
const txid = fc
  .tuple(fc.nat(2 ** 48 - 1), fc.uint8Array({ minLength: 10, maxLength: 10 }))
  .map(([unixMs, random]) => makeTxid(unixMs, random))
const clusterId = fc.stringMatching(/^[A-Za-z0-9-]{1,12}$/) as fc.Arbitrary<ClusterId>
const branch = fc.nat(63) as fc.Arbitrary<BranchId>
const vote = fc.constantFrom('commit' as const, 'abort' as const, 'readOnly' as const)
const branchRecord: fc.Arbitrary<BranchRecord> = fc.record({
  branch,
  kind: fc.constantFrom('local' as const, 'service' as const, 'kv' as const),
  participant: text,
  vote: fc.constantFrom('commit' as const, 'readOnly' as const, undefined),
  evidence: optionalText,
})
const branches = fc.array(branchRecord, { maxLength: 64 })
const leader = fc.option(fc.record({ nodeId, address: text }), { nil: undefined })
const oldIdentity = fc.record({ nodeId, storeId: text, durableIndex: u53 })
const run = fc.record({ incarnation: u53, doubtful: fc.boolean() })
const identity = fc.oneof(oldIdentity, fc.record({ nodeId, storeId: text, durableIndex: u53, run }))
// A release of minor 0 can't say all that an identity holds: see handshake.test.ts.
const version = { protocolMajor: fc.nat(0xffff), protocolMinor: fc.integer({ min: 1, max: 0xffff }) }
const fromTo = { from: nodeId, to: nodeId, term }
const entry = fc.record({
  term,
  kind: fc.constantFrom(0 as const, 1 as const, 2 as const),
  data: fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
})

const appendEntries: fc.Arbitrary<AppendEntries> = fc
  .record({
    ...fromTo,
    prevLogIndex: fc.nat(Number.MAX_SAFE_INTEGER - 100),
    prevLogTerm: term,
    entries: fc.array(entry, { maxLength: 20 }),
    leaderCommit: index,
    readRound: u53,
  })
  .map(({ entries, prevLogIndex, ...rest }) => ({
    kind: 'appendEntries',
    ...rest,
    prevLogIndex: prevLogIndex as LogIndex,
    entries: entries.map((each, i): Entry => ({ ...each, index: (prevLogIndex + 1 + i) as LogIndex })),
  }))

const snapshot = fc.record({ index, term })
const readKey = u53 as fc.Arbitrary<ReadKey>

const payload = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes))

const installSnapshot: fc.Arbitrary<InstallSnapshot> = fc
  .record({
    ...fromTo,
    snapshot,
    snapshotId: u53,
    offset: fc.nat(Number.MAX_SAFE_INTEGER - 1000),
    data: fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
    bytesBehind: fc.nat(800),
    checksum: u32,
  })
  .map(({ bytesBehind, ...rest }) => ({
    kind: 'installSnapshot',
    ...rest,
    totalBytes: rest.offset + rest.data.length + bytesBehind,
  }))

const outcome = fc.oneof(
  fc.record({
    kind: fc.constantFrom('committed' as const, 'preparing' as const, 'unknown' as const, 'forgotten' as const),
  }),
  fc.record({
    kind: fc.constant('aborted' as const),
    reason: fc.constantFrom(
      'votedAbort' as const,
      'deadline' as const,
      'requested' as const,
      'presumed' as const,
      'unreachable' as const,
    ),
    participant: optionalText,
  }),
)

/** `kind` is inferred from where the result goes, so a missing or wrong field is a type error. */
function of<M extends Message>(
  kind: M['kind'],
  fields: { readonly [F in Exclude<keyof M, 'kind'>]: fc.Arbitrary<M[F]> },
): fc.Arbitrary<M> {
  return fc.record({ kind: fc.constant(kind), ...fields }) as unknown as fc.Arbitrary<M>
}

/** One arbitrary for each kind: the type makes a forgotten kind an error. */
export const arbitraries: { readonly [Kind in Message['kind']]: fc.Arbitrary<Extract<Message, { kind: Kind }>> } = {
  hello: of('hello', {
    ...version,
    role: fc.constantFrom('peer' as const, 'client' as const, 'participant' as const, 'kv' as const),
    clusterId: fc.option(clusterId, { nil: undefined }),
    node: fc.option(identity, { nil: undefined }),
    name: text,
  }),
  welcome: of('welcome', { ...version, clusterId, node: identity, leader }),
  rejected: of('rejected', { code: text, message: text }),
  ping: of('ping', { nonce: u32 }),
  pong: of('pong', { nonce: u32 }),
  requestVote: of('requestVote', {
    ...fromTo,
    preVote: fc.boolean(),
    lastLogIndex: index,
    lastLogTerm: term,
    leadershipTransfer: fc.boolean(),
  }),
  requestVoteResponse: of('requestVoteResponse', {
    ...fromTo,
    preVote: fc.boolean(),
    voteGranted: fc.boolean(),
    committed: fc.option(fc.record({ index, term }), { nil: undefined }),
  }),
  appendEntries,
  waiting: of('waiting', {
    transactions: fc.array(
      fc.record({
        txid,
        isDying: fc.boolean(),
        branches: fc.array(fc.record({ branch, participant: text, session: text, statement: u53 }), { maxLength: 64 }),
      }),
      { maxLength: 5 },
    ),
  }),
  lockWaits: of('lockWaits', {
    waits: fc.array(fc.record({ txid, wait: u53, blockers: fc.array(txid, { maxLength: 5 }) }), { maxLength: 5 }),
  }),
  deadlock: of('deadlock', { txid, branch, statement: u53, circle: text }),
  appendEntriesResponse: of('appendEntriesResponse', {
    ...fromTo,
    success: fc.boolean(),
    matchIndex: index,
    hintIndex: index,
    hintTerm: term,
    readRound: u53,
    doubtful: fc.boolean(),
  }),
  timeoutNow: of('timeoutNow', fromTo),
  readIndex: of('readIndex', { ...fromTo, readKey }),
  readIndexResponse: of('readIndexResponse', { ...fromTo, readKey, granted: fc.boolean(), index }),
  installSnapshot,
  installSnapshotResponse: of('installSnapshotResponse', {
    ...fromTo,
    snapshot,
    snapshotId: u53,
    receivedBytes: u53,
    status: fc.constantFrom('receiving' as const, 'installed' as const, 'refused' as const),
  }),
  commit: of('commit', { requestId: u53, clusterId, txid, timeoutMs: u53, branches }),
  abort: of('abort', { requestId: u53, clusterId, txid, participant: optionalText, branches }),
  ack: of('ack', { txid, branches: fc.array(branch, { maxLength: 64 }) }),
  inquire: of('inquire', { requestId: u53, clusterId, txid, settle: fc.boolean() }),
  admin: of('admin', { requestId: u53, method: text, json: text }),
  vote: of('vote', { txid, branch, vote, evidence: optionalText }),
  kvCall: of('kvCall', { requestId: u53, payload }),
  kvAnswer: of('kvAnswer', { requestId: u53, payload }),
  outcome: of('outcome', { requestId: u53, txid, outcome }),
  refused: of('refused', { requestId: u53, code: text, message: text, retryable: fc.boolean(), leader }),
  adminResult: of('adminResult', { requestId: u53, json: text }),
  leader: of('leader', { leader }),
  prepare: of('prepare', { txid, branch, participant: text, timeoutMs: u53 }),
  decision: of('decision', { txid, branch, decision: fc.constantFrom('commit' as const, 'abort' as const) }),
}

/** Any message at all. */
export const anyMessage: fc.Arbitrary<Message> = fc.oneof(...Object.values<fc.Arbitrary<Message>>(arbitraries))
