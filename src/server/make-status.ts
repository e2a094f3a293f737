import { readFileSync } from 'node:fs'
import type { CoordinatorStatus, DeadlockStatus, ResolverStatus } from '../coordinator/index.ts'
import type { MembersView, MemberView } from '../replica/index.ts'
import type { ServerConfig } from './config.ts'
import { SETTLEMENTS } from './releases.ts'
import { placeOf } from './resource-place.ts'
import type { MemberStatus, NodeStatus, ParticipantStatus } from './status.ts'

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string
}

interface StatusSources {
  readonly coordinator: CoordinatorStatus
  readonly resolver: ResolverStatus
  readonly deadlocks: DeadlockStatus
  /** What is wrong with a database's settings. */
  readonly fatalOf: (resource: string) => string | undefined
  readonly config: ServerConfig
  readonly members: MembersView
  readonly participants: readonly ParticipantStatus[]
  readonly uptimeMs: number
  readonly residentBytes: number
  readonly wallMs: number
}

/** Gathers what `status` answers. */
export function makeStatus({
  coordinator,
  resolver,
  deadlocks,
  fatalOf,
  config,
  members,
  participants,
  ...figures
}: StatusSources): NodeStatus {
  const { raft, bytesOnDisk, spaceLow } = coordinator.log
  return {
    cluster: config.cluster,
    node: config.node,
    version,
    uptimeMs: Math.round(figures.uptimeMs),
    residentBytes: figures.residentBytes,
    wallMs: figures.wallMs,
    role: raft.role,
    serving: coordinator.leading,
    leader: raft.leader,
    term: raft.currentTerm,
    commitIndex: raft.commitIndex,
    lastApplied: raft.lastApplied,
    lastIndex: raft.lastIndex,
    log: { bytesOnDisk, spaceLow },
    // Its own directory may not know it yet: then the others have told it.
    removed: members.removed || coordinator.log.removed === true,
    members: members.members.map(memberStatus),
    transactions: {
      preparing: coordinator.preparingCount,
      decided: coordinator.undeliveredCount,
      finished: coordinator.finishedCount,
      committed: coordinator.committedCount,
      aborted: coordinator.abortedCount,
      heuristics: coordinator.heuristicCount,
      settlements: coordinator.unacknowledgedCount,
    },
    deadlocks,
    guard: coordinator.guard,
    resources: resolver.resources.map(({ name, inDoubtCount, oldestMs, error }) => ({
      name,
      inDoubt: inDoubtCount,
      oldestMs,
      error: error ?? fatalOf(name),
    })),
    configured: config.resources.map(({ name, kind, url }) => ({ name, kind, place: placeOf(url) })),
    participants,
    features: [SETTLEMENTS],
  }
}

function memberStatus({ nodeId, role, address, connected, lag }: MemberView): MemberStatus {
  return { node: nodeId, role, address: address ?? '', connected, lag }
}
