import { type ClusterId, systemClock, type Txid } from '../../src/base/index.ts'
import { Concordat, RemoteCoordinators } from '../../src/client/index.ts'
import type { CommitRequest, CoordinatorPort, Reply } from '../../src/coordinator/index.ts'
import type { Branch, PrepareResult, Resource, SettleResult } from '../../src/resources/index.ts'
import { tcpNetwork } from '../../src/transport/index.ts'
import { type BankUrls, openBanks } from '../support/banks.support.ts'

/** Where an application dies. */
export type CrashPoint =
  | 'beforePrepare'
  | 'amidPrepare'
  | 'beforeCommitRequest'
  | 'afterCommitRequest'
  | 'afterDecision'
  | 'amidPhaseTwo'
  | 'beforeAck'

/** What the test tells the application. */
export interface CrashOrders {
  readonly point: CrashPoint
  readonly transfer: string
  readonly urls: BankUrls
  /** A fleet's addresses; left out: a coordinator inside the application. */
  readonly coordinators?: readonly string[]
  readonly dataDir?: string
}

const orders = JSON.parse(process.argv[2] ?? '') as CrashOrders

/** Nothing is flushed, no handler runs: as when the machine's out-of-memory killer comes. */
function die(): Promise<never> {
  process.kill(process.pid, 'SIGKILL')
  return new Promise(() => {})
}

async function dieAt(point: CrashPoint): Promise<void> {
  if (orders.point === point) await die()
}

/** How many branches came so far to a step. */
const counts = { prepared: 0, committed: 0 }
let branches = 0

/** The branch of the real resource, with crash points between its steps. */
class CrashingBranch<Session> implements Branch<Session> {
  readonly #inner: Branch<Session>

  constructor(inner: Branch<Session>) {
    this.#inner = inner
  }

  get gid() {
    return this.#inner.gid
  }

  get session() {
    return this.#inner.session
  }

  get poisonedBy() {
    return this.#inner.poisonedBy
  }

  async prepare(): Promise<PrepareResult> {
    await dieAt('beforePrepare')
    // One after the other, so that "amid" is a definite place.
    const turn = branches++
    while (counts.prepared < turn) await new Promise((resolve) => setTimeout(resolve, 1))
    const result = await this.#inner.prepare()
    await dieAt('amidPrepare')
    counts.prepared++
    if (counts.prepared === banks.length) await dieAt('beforeCommitRequest')
    return result
  }

  commitOnePhase(): Promise<void> {
    return this.#inner.commitOnePhase()
  }

  async commit(): Promise<SettleResult> {
    await dieAt('afterDecision')
    if (orders.point === 'amidPhaseTwo' && counts.committed++ > 0) return new Promise(() => {})
    const result = await this.#inner.commit()
    await dieAt('amidPhaseTwo')
    return result
  }

  abort(): Promise<SettleResult> {
    return this.#inner.abort()
  }

  handOver(): Promise<void> {
    return this.#inner.handOver()
  }
}

function crashing(resource: Resource<unknown>): void {
  const begin = resource.begin.bind(resource)
  resource.begin = async (identity, options) => new CrashingBranch(await begin(identity, options))
}

/** The real port, with crash points after the commit request and before the acknowledgement. */
class CrashingPort implements CoordinatorPort {
  readonly #inner: CoordinatorPort

  constructor(inner: CoordinatorPort) {
    this.#inner = inner
  }

  clusterId(options: Parameters<CoordinatorPort['clusterId']>[0]): Promise<ClusterId> {
    return this.#inner.clusterId(options)
  }

  async commit(request: CommitRequest): Promise<Reply> {
    const reply = this.#inner.commit(request)
    // The frame leaves at the end of the turn; then nobody is there to read the answer.
    if (orders.point === 'afterCommitRequest') setTimeout(die, 2)
    return orders.point === 'afterCommitRequest' ? new Promise(() => {}) : reply
  }

  abort(request: Parameters<CoordinatorPort['abort']>[0], timeoutMs: number): Promise<Reply> {
    return this.#inner.abort(request, timeoutMs)
  }

  inquire(request: Parameters<CoordinatorPort['inquire']>[0], timeoutMs: number): Promise<Reply> {
    return this.#inner.inquire(request, timeoutMs)
  }

  ack(txid: Txid, acknowledged: Parameters<CoordinatorPort['ack']>[1]): void {
    if (orders.point === 'beforeAck') void die()
    this.#inner.ack(txid, acknowledged)
  }

  close(): Promise<void> {
    return this.#inner.close()
  }
}

const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

function remote(addresses: readonly string[]): Concordat {
  const port = new RemoteCoordinators({
    addresses: addresses.map((address) => ({ host: '127.0.0.1', port: Number(address.split(':')[1]) })),
    tls: undefined,
    name: 'crashing',
    clusterId: undefined,
    network: tcpNetwork(),
    clock: systemClock,
    random: Math.random,
    logger: quiet,
  })
  return Concordat.over(new CrashingPort(port))
}

const banks = openBanks(orders.urls)
const concordat =
  orders.coordinators === undefined
    ? await Concordat.embedded({ dataDir: orders.dataDir ?? '', resources: banks.map(({ resource }) => resource) })
    : remote(orders.coordinators)
for (const { resource } of banks) crashing(resource)

await concordat.transaction(async (tx) => {
  console.log(tx.txid)
  for (const [index, bank] of banks.entries()) {
    await bank.book(tx, orders.transfer, 1, [-10, 10, 0][index] ?? 0)
  }
})
console.log('the application survived its crash point')
