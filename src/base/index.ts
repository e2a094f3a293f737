export { assert, InvariantError, unreachable } from './assert.ts'
export { BRANCH_HEADER, type BranchTicket, formatBranchTicket, parseBranchTicket } from './branch-ticket.ts'
export { ByteReader, ByteWriter, CodecError } from './bytes.ts'
export {
  type CallReport,
  formatCallReport,
  parseCallReport,
  REPORT_HEADER,
  type ReportedBranch,
} from './call-report.ts'
export { type CallTicket, formatCallTicket, parseCallTicket } from './call-ticket.ts'
export { type Clock, sleep, systemClock, type Timer } from './clock.ts'
export { ConcordatError, toError } from './errors.ts'
export {
  type Failpoint,
  type FailpointComponent,
  REQUIRED_OUTCOMES,
  type RequiredOutcome,
} from './failpoints/failpoint.ts'
export { armFailpoints, type FailpointHandler, type FailpointHit, hit, isArmed } from './failpoints/hit.ts'
export { FAILPOINT_NAMES, FAILPOINTS, type FailpointName, isFailpointName } from './failpoints/table.ts'
export {
  BRANCHES_MAX,
  type BranchId,
  type Brand,
  type ClusterId,
  GID_PREFIX,
  type Gid,
  MalformedIdError,
  makeGid,
  makeTxid,
  type NodeId,
  parseBranchId,
  parseClusterId,
  parseGid,
  parseNodeId,
  parseTxid,
  type Txid,
  txidFromBytes,
  txidTimeMs,
  txidToBytes,
} from './ids.ts'
export { JOINED_RESOURCE_CHARACTERS_MAX, joinedName, resourceOfJoined } from './joined-name.ts'
export { isParticipantName, PARTICIPANT_NAME_RULE } from './participant-name.ts'
export { Prng } from './prng.ts'
export { WaitForGraph } from './wait-for-graph.ts'
