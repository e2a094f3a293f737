import type { ClusterId } from '../../base/index.ts'
import { DiskStore } from '../../kv/index.ts'
import { keyValueParticipant } from '../../participant/index.ts'
import type { Disk } from '../../wal/index.ts'
import type { DiskedWorld, SimProcess } from '../kernel/types.ts'
import { DurableVotes } from './durable-votes.ts'
import { ParticipantMachine, type Running } from './machine.ts'
import { tappedNetwork } from './tapped-network.ts'

/** How a simulated key-value participant is set up. */
export interface KvMachineOptions {
  readonly name: string
  readonly host: string
  readonly clusterId: ClusterId
  readonly lockTimeoutMs: number
  readonly checkpointBytes: number
  readonly segmentBytesMax: number
  /** The coordinators, as its configuration names them when it starts. */
  readonly coordinators: () => readonly string[]
  /** It has just voted to commit. */
  readonly onVote: (machine: ParticipantMachine) => void
}

const PORT = 7500
const DATA = '/kv'
/** Records of the engine's log from which a vote to commit follows: `prepared`, `inDoubt`, `committed` (kv/engine/records.ts). */
const VOTES = [2, 3, 4]

/** A machine with the production key-value participant, as `concordat participant kv` runs it. */
export class KvMachine extends ParticipantMachine {
  readonly address: string

  constructor(world: DiskedWorld, options: KvMachineOptions) {
    const { name, host } = options
    super(world, name, host, (process, disk) => open(world, votes, options, process, disk))
    this.address = `${host}:${PORT}`
    const votes = new DurableVotes(world, this.disk, `${DATA}/log`, VOTES, () => options.onVote(this))
  }
}

async function open(
  world: DiskedWorld,
  votes: DurableVotes,
  options: KvMachineOptions,
  process: SimProcess,
  disk: Disk,
): Promise<Running> {
  const { name, host, clusterId, lockTimeoutMs, checkpointBytes, segmentBytesMax } = options
  const network = tappedNetwork(process.network, (message) => {
    if (message.kind !== 'vote') return
    world.mark(`kv: votes ${message.vote}`)
    if (message.vote === 'commit') votes.sent(name, message.txid, message.branch)
  })
  const participant = await keyValueParticipant(
    {
      name,
      coordinators: options.coordinators(),
      clusterId,
      data: DATA,
      listen: `${host}:${PORT}`,
      limits: { lockTimeoutMs, checkpointBytes, branchBytesMax: segmentBytesMax / 8 },
    },
    {
      clock: process.clock,
      disk,
      network,
      randomFill: process.randomFill,
      later: process.later,
      segmentBytesMax,
      openStore: (directory) => DiskStore.open(disk, directory),
    },
  )
  const { inDoubtCount } = participant.status()
  if (inDoubtCount > 0) world.mark('kv: opens with branches in doubt')
  return {
    failed: participant.failed,
    close: () => participant.close(),
    unsettled: () => {
      const { open: openCount, inDoubtCount, transactions } = participant.status()
      if (openCount + inDoubtCount + transactions === 0) return []
      return [`has ${openCount} branches open, ${inDoubtCount} in doubt, ${transactions} with locks`]
    },
  }
}
