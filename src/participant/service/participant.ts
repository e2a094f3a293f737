import { type BranchTicket, parseBranchTicket, parseClusterId } from '../../base/index.ts'
import { type ConcordatOptions, openParticipantPort, type ParticipantOrder } from '../../client/index.ts'
import type { Connection } from '../../transport/index.ts'
import { drawFraction, drawNumber, participantSeams } from '../seams.ts'
import { BranchKeeper } from './branch-keeper.ts'
import type { ServiceHandlers } from './handlers.ts'
import { Inquirer } from './inquirer.ts'
import { checkInstanceOptions, type InstanceOptions, type InstanceSeams, openJournal } from './instance-options.ts'
import type { Journal } from './journal.ts'
import type { BranchKey } from './keys.ts'
import { type OpenBranchView, viewOf } from './open-branch-view.ts'

/** How a service takes part over connections of its own. */
export interface ParticipantOptions<Sql = undefined> extends InstanceOptions<Sql> {
  /** `host:port` of some or all coordinators, as an array or with commas between. The rest is learned from them. */
  readonly coordinators: ConcordatOptions['coordinators']
  /** Speak TLS with the coordinators; with `key` and `cert` it is mutual. */
  readonly tls?: ConcordatOptions['tls']
}

/** One instance of a service that takes part in transactions. Made by `participant`. */
export class Participant<Sql = undefined> {
  /** Resolves with the error that made the journal unusable. Nothing is promised any more: end the process and start anew. */
  readonly failed: Promise<Error>
  readonly #keeper: BranchKeeper
  readonly #inquirer: Inquirer
  readonly #journal: Journal<unknown>
  readonly #port: ReturnType<typeof openParticipantPort>
  #closing: Promise<void> | undefined

  private constructor(
    keeper: BranchKeeper,
    inquirer: Inquirer,
    journal: Journal<unknown>,
    port: ReturnType<typeof openParticipantPort>,
    failed: Promise<Error>,
  ) {
    this.#keeper = keeper
    this.#inquirer = inquirer
    this.#journal = journal
    this.#port = port
    this.failed = failed
    // The coordinators turn to the other instances.
    void failed.then(() => {
      inquirer.stop()
      return port.close()
    })
  }

  /** @internal See `participant`. */
  static async start<Sql>(
    options: ParticipantOptions<Sql>,
    given: Partial<InstanceSeams> = {},
  ): Promise<Participant<Sql>> {
    const seams = participantSeams(given)
    const { clock, network, later: schedule } = seams
    const { keeperOptions, logger } = checkInstanceOptions(options, KEYS)
    const { name, coordinators, tls } = options
    let fail: (error: Error) => void = () => {}
    const failed = new Promise<Error>((resolveFailed) => {
      fail = resolveFailed
    })
    let take: (order: ParticipantOrder, connection: Connection) => void = () => {}
    const port = openParticipantPort(
      { coordinators, name, clusterId: options.clusterId, logger, ...(tls !== undefined && { tls }) },
      (order, connection) => take(order, connection),
      { clock, network, schedule, random: () => drawFraction(seams) },
    )
    const clusterId = parseClusterId(options.clusterId)
    const journal = await openJournal(options, keeperOptions, fail, seams)
    const shared = { clusterId, clock, logger, options: keeperOptions }
    const keeper = new BranchKeeper({
      ...shared,
      name,
      handlers: options as ServiceHandlers<unknown>,
      journal,
      isAskedAlone: false,
      ack: (txid, branches) => port.ack(txid, branches),
      seed: drawNumber(seams),
    })
    take = (order, connection) => takeOrder(keeper, order, connection)
    const inquirer = new Inquirer({ ...shared, keeper, coordinators: port })
    port.connect()
    inquirer.start()
    return new Participant<Sql>(keeper, inquirer, journal, port, failed)
  }

  /**
   * Does the work of one call for a transaction. First it notes, on disk, that this instance holds the branch; then it runs
   * `work`, which sets the call's effects aside under `branch.gid`, in one local transaction; PREPARE and decisions wait
   * until that has ended. When `work` throws, the branch votes abort, and what was thrown comes out here.
   *
   * With a journal in the service's database `work` gets `sql` too: both notes are one local transaction with the work.
   *
   * @param ticket the `concordat-tx` header of the call, as it came
   * @throws MalformedIdError, WrongTicketError for a call that was meant for somebody else; nothing was done
   * @throws BranchOverError when the transaction is ending or over; nothing was done: refuse the call
   * @throws ParticipantBusyError when no new branches are taken; nothing was done: refuse the call
   */
  async work<T>(ticket: string | BranchTicket, work: (branch: BranchKey, sql: Sql) => Promise<T> | T): Promise<T> {
    const parsed = typeof ticket === 'string' ? parseBranchTicket(ticket) : ticket
    return this.#keeper.work(parsed, (branch, sql) => work(branch, sql as Sql))
  }

  /** Branches that have not ended on this instance. */
  open(): readonly OpenBranchView[] {
    return [...this.#keeper.table.all()].map(viewOf)
  }

  /**
   * Takes no new branches, waits for handlers that are at work (at most ten seconds) and disconnects. What is in doubt stays
   * in the journal; the next start goes on, and other instances carry its decisions out meanwhile.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    this.#inquirer.stop()
    await this.#keeper.close()
    await this.#port.close()
    await this.#journal.close()
  }
}

/**
 * Makes a service take part in transactions, over connections that it opens itself: it needs no open port for it. Any number
 * of instances may run under one name, each with a journal of its own, or with one in the service's database. Read docs/services.md for what the handlers must keep.
 *
 * @param seams the simulator's; production leaves it out
 * @throws InvalidOptionsError; WalLockedError while another process has the journal; WalIdentityError when it belongs to
 * another cluster; JournalUnusableError when its tables are missing; whatever else the journal refuses
 * @example
 * const payments = await participant({
 *   name: 'payments', coordinators: ['10.0.0.1:7400'], clusterId: 'trips', journal: './payments-journal',
 *   prepare: ({ gid }) => reserve(gid), commit: ({ gid }) => book(gid), abort: ({ gid }) => release(gid),
 * })
 */
export function participant<Sql = undefined>(
  options: ParticipantOptions<Sql>,
  seams: Partial<InstanceSeams> = {},
): Promise<Participant<Sql>> {
  return Participant.start(options, seams)
}

function takeOrder(keeper: BranchKeeper, order: ParticipantOrder, connection: Connection): void {
  const { txid, branch } = order
  if (order.kind === 'decision') return keeper.decide(txid, branch, order.decision)
  // A vote that is lost with its connection is asked for again.
  keeper.prepare(txid, branch, order.timeoutMs, (vote) =>
    connection.send({ kind: 'vote', txid, branch, vote, evidence: undefined }),
  )
}

const KEYS = [
  'name',
  'coordinators',
  'clusterId',
  'journal',
  'tls',
  'logger',
  'concurrency',
  'prepare',
  'commit',
  'abort',
]
