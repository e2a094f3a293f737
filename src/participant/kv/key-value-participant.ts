import { isAbsolute, resolve } from 'node:path'
import { parseClusterId, parseNodeId, sleep, type Timer } from '../../base/index.ts'
import { type Logger, openParticipantPort, type ParticipantOrder } from '../../client/index.ts'
import { silentLogger } from '../../coordinator/index.ts'
import {
  KeyValueStore,
  KV_PORT_LIMITS,
  KvDesk,
  KvParticipant,
  KvPort,
  type KvStatus,
  LocalChannel,
} from '../../kv/index.ts'
import type { Connection } from '../../transport/index.ts'
import { drawFraction, drawNumber, participantSeams } from '../seams.ts'
import { Inquirer } from '../service/inquirer.ts'
import { KEEPER_DEFAULTS } from '../service/options.ts'
import { KvKeeper } from './kv-keeper.ts'
import { claimDirectory } from './name-file.ts'
import { checkKeyValueOptions, type KeyValueParticipantOptions, listenEndpoint } from './options.ts'
import { engineSeams, type KeyValueSeams } from './seams.ts'
import { WaitReporter } from './wait-reporter.ts'

const KEEP_MS = 3_600_000
/** How often outcomes that are old enough are forgotten. */
const FORGET_EVERY_MS = 60_000
/** How long `close` lets branches come to their end. */
const DRAIN_MS = 5_000
const DRAIN_LOOK_MS = 20
/** Branches in doubt that a status lists. */
const LISTED_MAX = 1_000
/** The time of a call that `store` makes outside of transactions. */
const STORE_TIMEOUT_MS = 15_000

/** A directory belongs to one participant, so its number says nothing. */
const NODE_ID = parseNodeId(1)

/** What a participant is made of. */
interface Parts {
  readonly seams: KeyValueSeams
  readonly options: KeyValueParticipantOptions
  readonly kv: KvParticipant
  readonly desk: KvDesk
  readonly keeper: KvKeeper
  readonly inquirer: Inquirer
  readonly waits: WaitReporter
  readonly coordinators: ReturnType<typeof openParticipantPort>
  readonly failed: Promise<Error>
  readonly startedMs: number
}

/** A key-value participant: its data, its port, and its connections to the coordinators. Made by `keyValueParticipant`. */
export class KeyValueParticipant {
  /** Resolves with the error that made log or data unusable. Nothing is promised any more: end the process and start anew. */
  readonly failed: Promise<Error>
  /** The participant for applications in this process: enlist it, or call it. No connection is needed for it. */
  readonly store: KeyValueStore
  readonly #parts: Parts
  readonly #forgetting: Timer
  #port: KvPort | undefined
  #isOpen = false
  #closing: Promise<void> | undefined

  private constructor(parts: Parts) {
    const { options, desk, kv, failed, coordinators, inquirer, waits, seams } = parts
    const { clock, randomFill } = seams
    this.#parts = parts
    this.failed = failed
    const channel = new LocalChannel(options.name, desk.enter())
    this.store = new KeyValueStore({
      name: options.name,
      address: 'this process',
      channel,
      timeoutMs: STORE_TIMEOUT_MS,
      clock,
      randomFill,
    })
    this.#forgetting = clock.every(FORGET_EVERY_MS, () => {
      // A failure is told by `failed`.
      kv.forgetBefore(Math.floor(clock.wallMs() - (options.keepMs ?? KEEP_MS))).catch(() => undefined)
    })
    // Whoever waits for it must hear that nothing comes any more.
    void failed.then(async () => {
      clock.cancel(this.#forgetting)
      inquirer.stop()
      waits.stop()
      await this.#port?.close()
      await coordinators.close()
    })
  }

  /** @internal See `keyValueParticipant`. */
  static async start(
    options: KeyValueParticipantOptions,
    given: Partial<KeyValueSeams> = {},
  ): Promise<KeyValueParticipant> {
    const seams = participantSeams(given)
    const { clock, disk, network, later: schedule } = seams
    checkKeyValueOptions(options)
    const { name, tls, logger = silentLogger, rules = [], limits = {} } = options
    const { branchesMax, callsMax, callBytesMax, ...engineLimits } = limits
    let take: (order: ParticipantOrder, connection: Connection) => void = () => {}
    const coordinators = openParticipantPort(
      {
        coordinators: options.coordinators,
        name,
        clusterId: options.clusterId,
        logger,
        ...(tls !== undefined && { tls }),
      },
      (order, connection) => take(order, connection),
      { clock, network, schedule, random: () => drawFraction(seams) },
    )
    const clusterId = parseClusterId(options.clusterId)
    const directory = isAbsolute(options.data) ? options.data : resolve(options.data)
    let fail: (error: Error) => void = () => {}
    const failed = new Promise<Error>((resolveFailed) => {
      fail = resolveFailed
    })
    await claimDirectory(disk, directory, name)
    const identity = { clusterId, nodeId: NODE_ID }
    // Those in doubt have their locks back when it is open; nobody is let in before.
    const engine = { ...engineLimits, ...(await engineSeams(seams, directory)) }
    const kv = await KvParticipant.open({ directory, identity, rules, ...engine, onFailure: fail })
    let status: () => object = () => ({})
    const portLimits = { ...KV_PORT_LIMITS, ...defined({ branchesMax, callsMax, callBytesMax }) }
    const desk = new KvDesk({ kv, name, clusterId, clock, limits: portLimits, status: () => status() })
    const shared = { clock, logger, options: KEEPER_DEFAULTS }
    const keeper = new KvKeeper({ ...shared, kv, desk, ack: (txid, branches) => coordinators.ack(txid, branches) })
    take = (order, connection) => takeOrder(keeper, order, connection)
    const inquirer = new Inquirer({ ...shared, clusterId, keeper, coordinators })
    const waits = new WaitReporter({ kv, coordinators, clock })
    const startedMs = clock.monotonicMs()
    const parts = { seams, options, kv, desk, keeper, inquirer, waits, coordinators, failed, startedMs }
    const participant = new KeyValueParticipant(parts)
    status = () => participant.status()
    try {
      await participant.#open(logger)
      return participant
    } catch (error) {
      await participant.close()
      throw error
    }
  }

  /** The port that applications use; 0 when it does not listen. */
  get port(): number {
    return this.#port?.port ?? 0
  }

  /** What is at work and in doubt here. */
  status(): KvStatus {
    const { options, kv, desk, keeper, startedMs, seams } = this.#parts
    const nowMs = seams.clock.wallMs()
    const inDoubt = keeper.inDoubtCount === 0 ? [] : kv.inDoubt(LISTED_MAX)
    return {
      name: options.name,
      cluster: options.clusterId,
      uptimeMs: Math.round(seams.clock.monotonicMs() - startedMs),
      connections: this.#port?.connections ?? 0,
      open: desk.openCount,
      transactions: kv.transactions,
      log: { bytesOnDisk: kv.logBytesOnDisk, spaceLow: kv.spaceLow },
      residentBytes: process.memoryUsage.rss(),
      inDoubt: inDoubt.map((branch) => ({ ...branch, ageMs: Math.max(0, nowMs - branch.preparedAtMs) })),
      inDoubtCount: kv.inDoubtCount,
    }
  }

  /**
   * Takes no new branches, lets those that are there come to their end (at most five seconds), rolls the others back, and
   * closes everything. What is in doubt is so again after the next start, with its locks.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #open(logger: Logger): Promise<void> {
    const { options, desk, kv, coordinators, inquirer, waits, seams } = this.#parts
    if (options.listen !== undefined) {
      const endpoint = listenEndpoint(options.listen, options.tls !== undefined)
      this.#port = await KvPort.open({
        desk,
        name: options.name,
        clusterId: parseClusterId(options.clusterId),
        incarnation: drawNumber(seams),
        storeId: options.name,
        network: seams.network,
        ...endpoint,
        tls: options.tls?.ca === undefined ? options.tls : { ...options.tls, requestClientCertificate: true },
        clock: seams.clock,
        logger,
      })
    }
    coordinators.connect()
    inquirer.start()
    waits.start()
    this.#isOpen = true
    const { inDoubtCount } = kv
    const where = this.#port === undefined ? 'in this process' : `on port ${this.port}`
    logger.info(
      { data: options.data, inDoubt: inDoubtCount },
      `${options.name} takes part ${where}; ${inDoubtCount} branches are in doubt`,
    )
  }

  async #close(): Promise<void> {
    const { desk, keeper, inquirer, waits, coordinators, kv, seams } = this.#parts
    seams.clock.cancel(this.#forgetting)
    desk.drain()
    // One whose port could not be had has nobody to wait for.
    if (this.#isOpen) await Promise.race([this.#drained(), this.failed])
    desk.close()
    await this.#port?.close()
    inquirer.stop()
    waits.stop()
    await keeper.close()
    await coordinators.close()
    await kv.close()
  }

  async #drained(): Promise<void> {
    const { desk, keeper, seams } = this.#parts
    const { clock } = seams
    const dueMs = clock.monotonicMs() + DRAIN_MS
    while (desk.openCount + keeper.inDoubtCount > 0 && clock.monotonicMs() < dueMs) {
      await sleep(clock, DRAIN_LOOK_MS)
    }
  }
}

/**
 * Runs a key-value participant in this process: what `concordat participant kv` runs in one of its own. The package `lmdb` must
 * be installed.
 *
 * @param seams the simulator's; production leaves it out
 * @throws InvalidOptionsError, KvInvalidError; KvNameChangedError, WalIdentityError when the data is another one's;
 * WalLockedError while another process has it; whatever else log, data or port refuse
 * @example
 * const accounts = await keyValueParticipant({
 *   name: 'accounts', coordinators: ['10.0.0.1:7400'], clusterId: 'trips', data: './accounts', listen: '127.0.0.1:7500',
 * })
 * await concordat.transaction(async (tx) => (await tx.enlist(accounts.store)).add('account/ada', -40))
 */
export function keyValueParticipant(
  options: KeyValueParticipantOptions,
  seams: Partial<KeyValueSeams> = {},
): Promise<KeyValueParticipant> {
  return KeyValueParticipant.start(options, seams)
}

function takeOrder(keeper: KvKeeper, order: ParticipantOrder, connection: Connection): void {
  const { txid, branch } = order
  if (order.kind === 'decision') return keeper.decide(txid, branch, order.decision)
  // A vote that is lost with its connection is asked for again.
  keeper.prepare(txid, branch, (vote) => connection.send({ kind: 'vote', txid, branch, vote, evidence: undefined }))
}

function defined<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as never
}
