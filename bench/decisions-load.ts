import { randomBytes } from 'node:crypto'
import type * as base from '../src/base/index.ts'
import type * as client from '../src/client/index.ts'
import type * as transport from '../src/transport/index.ts'
import type * as txn from '../src/txn/index.ts'
import { built } from './lib/built.ts'
import { drive, type Rate, Samples } from './lib/samples.ts'
import { serveJobs } from './lib/worker.ts'

/** The load process of `decisions` and `memory`: callers that commit prepared local branches through the real client port. */
export type DecisionsJob =
  | {
      readonly kind: 'connect'
      readonly cluster: string
      readonly addresses: readonly string[]
      readonly recordBytes: number
    }
  /** Ends after `seconds`, or after `transactions` when that comes first. */
  | { readonly kind: 'run'; readonly callers: number; readonly seconds: number; readonly transactions?: number }
  /** Each caller asks for `forMs`, and once more; the result is pairs of when was asked and when answered. */
  | { readonly kind: 'outage'; readonly callers: number; readonly forMs: number }

const TIMEOUT_MS = 30_000

const { makeTxid, systemClock, parseClusterId, ByteWriter } = await built<typeof base>('base')
const { RemoteCoordinators } = await built<typeof client>('client')
const { tcpNetwork } = await built<typeof transport>('transport')
const { encodeCommands } = await built<typeof txn>('txn')

class Load {
  readonly #port: client.RemoteCoordinators
  readonly #clusterId: base.ClusterId
  readonly #branches: readonly txn.BranchRecord[]
  readonly #branchIds: readonly base.BranchId[]

  constructor(port: client.RemoteCoordinators, clusterId: base.ClusterId, branches: readonly txn.BranchRecord[]) {
    this.#port = port
    this.#clusterId = clusterId
    this.#branches = branches
    this.#branchIds = branches.map(({ branch }) => branch)
  }

  static async connect(job: Extract<DecisionsJob, { kind: 'connect' }>): Promise<Load> {
    const addresses = job.addresses.map((address) => {
      const [host = '', port] = address.split(':')
      return { host, port: Number(port) }
    })
    const logger = { debug: () => {}, info: () => {}, warn: console.error, error: console.error }
    const clusterId = parseClusterId(job.cluster)
    const port = new RemoteCoordinators({
      addresses,
      tls: undefined,
      name: 'bench',
      clusterId,
      network: tcpNetwork(),
      clock: systemClock,
      random: Math.random,
      logger,
    })
    const load = new Load(port, clusterId, branchesFor(job.recordBytes))
    await load.once()
    return load
  }

  /** One transaction: its two branches are prepared already, so the commit request is all that stands between it and its decision. */
  readonly once = async (): Promise<void> => {
    const txid = nextTxid()
    const reply = await this.#port.commit({
      clusterId: this.#clusterId,
      txid,
      timeoutMs: TIMEOUT_MS,
      branches: this.#branches,
    })
    if (reply.kind !== 'outcome' || reply.outcome.kind !== 'committed') {
      throw new Error(`a transaction was not committed: ${JSON.stringify(reply)}`)
    }
    this.#port.ack(txid, this.#branchIds)
  }

  async run({ callers, seconds, transactions = Infinity }: Extract<DecisionsJob, { kind: 'run' }>): Promise<Rate> {
    let left = transactions
    const samples = new Samples()
    samples.merge(await drive(callers, seconds, this.once, () => left-- > 0))
    return samples.rate(callers)
  }

  async outage({ callers, forMs }: Extract<DecisionsJob, { kind: 'outage' }>): Promise<Float64Array> {
    const answers: number[] = []
    const begunMs = Date.now()
    const loop = async (): Promise<void> => {
      for (let askedMs = begunMs; askedMs - begunMs < forMs; ) {
        askedMs = Date.now()
        // What the leader took with it into its death is repeated by the client, and answered like everything else.
        await this.once()
        answers.push(askedMs, Date.now())
      }
    }
    await Promise.all(Array.from({ length: callers }, loop))
    return Float64Array.from(answers)
  }
}

/** Two local branches whose `commit` record takes exactly so many bytes in the log. */
function branchesFor(recordBytes: number): readonly txn.BranchRecord[] {
  const bare = [branch(0, 'flights', '7654321'), branch(1, 'hotels', '')]
  const missing = recordBytes - sizeOf(bare)
  if (missing < 0) throw new Error(`a record of two branches takes at least ${sizeOf(bare)} bytes`)
  const branches = [bare[0]!, branch(1, 'hotels', 'x'.repeat(missing))]
  if (sizeOf(branches) !== recordBytes)
    throw new Error(`the record takes ${sizeOf(branches)} bytes, not ${recordBytes}`)
  return branches
}

function branch(number: number, participant: string, evidence: string): txn.BranchRecord {
  return { branch: number as base.BranchId, kind: 'local', participant, vote: 'commit', evidence }
}

function sizeOf(branches: readonly txn.BranchRecord[]): number {
  const writer = new ByteWriter()
  encodeCommands([{ kind: 'commit', txid: nextTxid(), branches }], writer)
  return writer.length
}

// Fresh random bytes for each would measure the system's random source.
const random = randomBytes(10)
let made = 0

function nextTxid(): base.Txid {
  made += 1
  random.writeUInt32BE(made >>> 0, 6)
  return makeTxid(Date.now(), random)
}

let load: Load | undefined

serveJobs<DecisionsJob, Rate | Float64Array | undefined>(async (job) => {
  if (job.kind === 'run') return load?.run(job)
  if (job.kind === 'outage') return load?.outage(job)
  load = await Load.connect(job)
  return undefined
})
