import { Prng } from '../../base/index.ts'
import type { FleetOptions } from '../fleet/fleet.ts'
import { seedOf } from '../kernel/hash.ts'
import type { WorkloadSize } from '../kernel/types.ts'
import { drawFaults } from './draw-faults.ts'
import type { Fault } from './fault.ts'
import { drawParticipantFaults } from './participant-faults.ts'
import { drawScenes } from './scenes.ts'

/** Everything that a run is made of, as data: drawn from the seed, and made smaller by shrinking. */
export interface Plan {
  readonly seed: number
  readonly fleet: FleetOptions
  readonly workload: WorkloadSize & { readonly kind: 'decisions' | 'bank' | 'raw' | 'mixed' }
  readonly faults: readonly Fault[]
  /** When the faults end. */
  readonly faultsMs: number
  /** How soon after that all must be at rest. */
  readonly livenessMs: number
}

/**
 * What a run is about:
 *
 * - `databases`: coordinators, applications and databases;
 * - `participants`: key-value participants and services as well, under faults of their own, with audits.
 *
 * A seed means something else in each, so new kinds change no run of an older profile.
 */
export type Profile = (typeof PROFILES)[number]
export const PROFILES = ['databases', 'participants'] as const

/** Branches that nobody asks about wait for their transaction's time, and after a restart for 40 s. */
const PARTICIPANTS_LIVENESS_MS = 120_000

/** All that a seed decides. */
export function planOf(seed: number, profile: Profile = 'databases'): Plan {
  const plan = basePlanOf(seed)
  return profile === 'databases' ? plan : withParticipants(plan)
}

function withParticipants(plan: Plan): Plan {
  const { seed, faultsMs, faults } = plan
  const prng = new Prng(seedOf(seed, 'participants'))
  const cast = { nodes: plan.fleet.nodes, databases: 2, applications: plan.workload.applications }
  const firstId = faults.reduce((next, { id }) => Math.max(next, id + 1), 0)
  const theirs = drawParticipantFaults(prng, cast, faultsMs, firstId)
  return {
    ...plan,
    // Key-value participants and services came with this release of the protocol.
    fleet: { ...plan.fleet, protocolMinor: 1 },
    workload: {
      ...plan.workload,
      kind: 'mixed',
      transactions: Math.round((faultsMs / 1_000) * prng.pick([3, 6, 12])),
    },
    faults: prng.chance(0.5) ? theirs : [...faults, ...theirs],
    livenessMs: PARTICIPANTS_LIVENESS_MS,
  }
}

function basePlanOf(seed: number): Plan {
  const prng = new Prng(seedOf(seed, 'plan'))
  const faultsMs = prng.pick([5_000, 10_000, 20_000])
  const applications = prng.between(1, 4)
  const nodes = prng.pick([1, 3, 3, 3, 3, 3, 5, 5])
  const cast = { nodes, databases: 3, applications }
  const faults = drawFaults(new Prng(seedOf(seed, 'faults')), cast, faultsMs)
  const scenes = drawScenes(new Prng(seedOf(seed, 'scenes')), cast, faultsMs, faults.length)
  return {
    seed,
    fleet: {
      nodes,
      tuning: {
        segmentBytesMax: prng.pick([32, 32, 64, 64, 256]) * 1024,
        heartbeatMs: prng.pick([50, 100, 100]),
        electionTimeoutMs: prng.pick([300, 400, 500]),
        inFlightMessagesMax: prng.pick([2, 64]),
        cacheBytesMax: prng.pick([2_048, 16 * 1024 * 1024]),
        ...drawSnapshots(prng),
        ...drawFlow(new Prng(seedOf(seed, 'flow'))),
      },
      protocolMinor: prng.pick([0, 1, 1, 1, 1]),
      coordination: {
        batchBytesMax: 8 * 1024,
        completedBatchMax: 100,
        ...drawForgetting(new Prng(seedOf(seed, 'forgetting'))),
      },
      resolver: { scanMs: 1_000, graceMs: prng.pick([200, 1_000]) },
    },
    workload: {
      kind: prng.pick(['decisions', 'bank', 'bank', 'raw'] as const),
      applications,
      transactions: Math.round((faultsMs / 1_000) * prng.pick([2, 10, 40])),
      durationMs: faultsMs,
    },
    faults: scenes.only ? scenes.faults : [...faults, ...scenes.faults],
    faultsMs,
    livenessMs: 60_000,
  }
}

/** Messages of one entry each, and little under way; or all that there is in one. */
function drawFlow(prng: Prng): FleetOptions['tuning'] {
  return {
    messageBytesMax: prng.pick([1, 1_024, 512 * 1_024]),
    inFlightBytesMax: prng.pick([4_096, 4 * 1_024 * 1_024]),
    uncommittedBytesMax: prng.pick([8_192, 16 * 1_024 * 1_024, 16 * 1_024 * 1_024]),
  }
}

/** Finished transactions forgotten as soon as that is safe; or kept for the whole run. */
function drawForgetting(prng: Prng): FleetOptions['coordination'] {
  if (prng.chance(0.6)) return {}
  return { keepMs: 1_000, keepCount: prng.pick([0, 50]), fenceMs: prng.pick([2_000, 8_000]), watermarkPeriodMs: 500 }
}

/** Snapshots so often that followers fall behind them; or hardly ever. */
function drawSnapshots(prng: Prng): FleetOptions['tuning'] {
  if (prng.chance(0.3)) return {}
  return {
    snapshotEntries: prng.pick([10, 50, 300]),
    snapshotBytes: prng.pick([4_096, 65_536]),
    tailEntries: prng.pick([0, 5, 100]),
    tailBytes: prng.pick([0, 2_048, 65_536]),
    snapshotChunkBytes: prng.pick([64, 256, 4_096]),
  }
}
