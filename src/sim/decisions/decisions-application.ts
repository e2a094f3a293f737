import { makeTxid, sleep, type Txid } from '../../base/index.ts'
import { RemoteCoordinators } from '../../client/index.ts'
import { silentLogger } from '../../coordinator/index.ts'
import type { BranchRecord } from '../../txn/index.ts'
import type { SimProcess, Victim } from '../kernel/types.ts'
import { participantOf } from './decisions-resource.ts'
import type { DecisionsWorkload } from './decisions-workload.ts'
import { BRANCHES, type DecisionRecord } from './record.ts'

/** Answers are waited for so long, then asked for anew. */
const PATIENCE_MS = 5_000

const PREPARED: readonly BranchRecord[] = BRANCHES.map((branch) => ({
  branch,
  kind: 'local',
  participant: participantOf(branch),
  vote: 'commit',
  evidence: undefined,
}))

/** One application, which may die and come back: then it asks about what it began before. */
export class DecisionsApplication implements Victim {
  readonly kind = 'application'
  readonly name: string
  readonly host: string
  readonly records: DecisionRecord[] = []
  readonly #workload: DecisionsWorkload
  #process: SimProcess | undefined

  constructor(workload: DecisionsWorkload, number: number) {
    this.#workload = workload
    this.name = `app-${number}`
    this.host = `127.0.3.${number}`
  }

  restart(): void {
    if (this.#process?.alive === true) return
    const { name, host } = this
    this.#process = this.#workload.world.spawn({ name, host, main: (process) => this.#main(process) })
  }

  async #main(process: SimProcess): Promise<void> {
    const { fleet, transactionsPerApplication, pauseMs } = this.#workload
    const port = this.#connect(process)
    for (const record of this.records) if (!record.settled) void this.#settle(process, port, record)
    while (this.#workload.loading && this.records.length < transactionsPerApplication) {
      await sleep(process.clock, process.random.below(2 * pauseMs + 1))
      const random = new Uint8Array(10)
      process.randomFill(random)
      const record: DecisionRecord = {
        txid: makeTxid(process.clock.wallMs(), random),
        told: undefined,
        settled: false,
        ended: [undefined, undefined],
      }
      if (!process.alive) return
      this.records.push(record)
      this.#workload.add(record)
      void this.#decide(process, port, record, fleet.clusterId)
    }
  }

  #connect(process: SimProcess): RemoteCoordinators {
    const addresses = this.#workload.fleet.addresses.map((address) => {
      const colon = address.lastIndexOf(':')
      return { host: address.slice(0, colon), port: Number(address.slice(colon + 1)) }
    })
    return new RemoteCoordinators({
      addresses,
      tls: undefined,
      name: this.name,
      clusterId: undefined,
      network: process.network,
      clock: process.clock,
      random: () => process.random.uint32() / 2 ** 32,
      logger: silentLogger,
      schedule: process.later,
    })
  }

  async #decide(
    process: SimProcess,
    port: RemoteCoordinators,
    record: DecisionRecord,
    clusterId: DecisionsWorkload['fleet']['clusterId'],
  ): Promise<void> {
    const { txid } = record
    const reply = process.random.chance(0.85)
      ? await port.commit({ clusterId, txid, timeoutMs: PATIENCE_MS, branches: PREPARED })
      : await port.abort({ clusterId, txid, participant: undefined, branches: PREPARED }, PATIENCE_MS)
    if (process.alive && this.#workload.take(record, reply)) this.#acknowledge(port, record, txid)
    else if (process.alive) await this.#settle(process, port, record)
  }

  async #settle(process: SimProcess, port: RemoteCoordinators, record: DecisionRecord): Promise<void> {
    const { clusterId } = this.#workload.fleet
    const { txid } = record
    for (;;) {
      const reply = await port.inquire({ clusterId, txid, settle: true }, PATIENCE_MS)
      if (!process.alive) return
      if (this.#workload.take(record, reply)) break
      await sleep(process.clock, 50)
    }
    this.#acknowledge(port, record, txid)
  }

  #acknowledge(port: RemoteCoordinators, record: DecisionRecord, txid: Txid): void {
    for (const branch of BRANCHES) {
      const how = record.ended[branch]
      // Forgotten is either aborted, or ended and acknowledged by somebody else.
      const told = record.told ?? how ?? 'aborted'
      if (how !== undefined && how !== told)
        this.#workload.world.fail('P1', `${txid} was ${told}, and a branch is ${how}`)
      record.ended[branch] = told
    }
    port.ack(txid, BRANCHES)
    record.settled = true
  }
}
