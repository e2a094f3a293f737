import type { ServiceCredentials } from '../../api/index.ts'
import { type BranchTicket, parseBranchTicket, parseClusterId } from '../../base/index.ts'
import { InvalidOptionsError } from '../../client/index.ts'
import { drawNumber, participantSeams } from '../seams.ts'
import { BranchKeeper } from '../service/branch-keeper.ts'
import type { ServiceHandlers } from '../service/handlers.ts'
import {
  checkInstanceOptions,
  type InstanceOptions,
  type InstanceSeams,
  openJournal,
} from '../service/instance-options.ts'
import type { Journal } from '../service/journal.ts'
import type { BranchKey } from '../service/keys.ts'
import { type OpenBranchView, viewOf } from '../service/open-branch-view.ts'
import { Desk } from './desk.ts'
import type { DeskAnswer } from './desk-answer.ts'
import type { DeskRequest } from './desk-request.ts'
import {
  type ExpressHandler,
  expressHandler,
  type FastifyInstance,
  fastifyPlugin,
  fetchHandler,
  type HonoContext,
  type NodeHandler,
  nodeHandler,
} from './frameworks.ts'

/** How a service takes part that the coordinators call at its URL. */
export interface HttpParticipantOptions<Sql = undefined> extends InstanceOptions<Sql> {
  /**
   * How the coordinators show that it is they: `{ secret }`, with which each request is signed, or `{ token }`, both of at
   * least 16 characters and the same as in their configuration. `'none'` only where nobody else reaches the port: whoever
   * does can decide the service's branches.
   */
  readonly credentials: ServiceCredentials
}

const KEYS = ['name', 'clusterId', 'journal', 'credentials', 'logger', 'concurrency', 'prepare', 'commit', 'abort']

/** Below the coordinators' own patience (5 s): "not yet" is a better answer than none. */
const WAIT_MS = 4_000

const CREDENTIAL_CHARACTERS_MIN = 16

/** One instance of a service that the coordinators call. Made by `httpParticipant`. */
export class HttpParticipant<Sql = undefined> {
  /** Resolves with the error that made the journal unusable. Nothing is promised any more: end the process and start anew. */
  readonly failed: Promise<Error>
  readonly #keeper: BranchKeeper
  readonly #journal: Journal<unknown>
  readonly #desk: Desk
  #closing: Promise<void> | undefined

  private constructor(keeper: BranchKeeper, journal: Journal<unknown>, desk: Desk, failed: Promise<Error>) {
    this.#keeper = keeper
    this.#journal = journal
    this.#desk = desk
    this.failed = failed
    void failed.then(() => desk.close())
  }

  /** @internal See `httpParticipant`. */
  static async start<Sql>(
    options: HttpParticipantOptions<Sql>,
    given: Partial<InstanceSeams> = {},
  ): Promise<HttpParticipant<Sql>> {
    const seams = participantSeams(given)
    const { clock } = seams
    const { keeperOptions, logger } = checkInstanceOptions(options, KEYS)
    const credentials = checkedCredentials(options.credentials)
    const { name } = options
    let fail: (error: Error) => void = () => {}
    const failed = new Promise<Error>((resolve) => {
      fail = resolve
    })
    const clusterId = parseClusterId(options.clusterId)
    const journal = await openJournal(options, keeperOptions, fail, seams)
    const keeper = new BranchKeeper({
      name,
      clusterId,
      handlers: options as ServiceHandlers<unknown>,
      journal,
      isAskedAlone: true,
      ack: (txid, branches) => desk.acknowledge(txid, branches),
      clock,
      seed: drawNumber(seams),
      logger,
      options: keeperOptions,
    })
    const desk: Desk = new Desk({ name, clusterId, credentials, keeper, clock, waitMs: WAIT_MS })
    return new HttpParticipant<Sql>(keeper, journal, desk, failed)
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

  /** One question of the coordinators, however it came. Never rejects. @internal */
  answer(request: DeskRequest): Promise<DeskAnswer> {
    return this.#desk.answer(request)
  }

  /** For `node:http`: `createServer(payments.node())`, behind any path. */
  node(): NodeHandler {
    return nodeHandler(this.#desk)
  }

  /** For Express, before anything that reads bodies: `app.use('/concordat', payments.express())`. */
  express(): ExpressHandler {
    return expressHandler(this.#desk)
  }

  /** For Fastify: `app.register(payments.fastify(), { prefix: '/concordat' })`. */
  fastify(): (instance: FastifyInstance) => Promise<void> {
    return fastifyPlugin(this.#desk)
  }

  /** For Hono: `app.all('/concordat/*', payments.hono())`. */
  hono(): (context: HonoContext) => Promise<Response> {
    const handle = fetchHandler(this.#desk)
    return ({ req }) => handle(req.raw)
  }

  /**
   * Takes no new branches, waits for handlers that are at work (at most ten seconds) and answers nothing any more. What is in
   * doubt stays in the journal; the coordinators tell its decision after the next start.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    this.#desk.refuse()
    await this.#keeper.close()
    this.#desk.close()
    await this.#journal.close()
  }
}

/**
 * Makes a service take part in transactions that the coordinators call at its URL: it opens no connections to them. The URL
 * stands in their configuration. Read docs/http-services.md, and docs/services.md for what the handlers must keep.
 *
 * @param seams the simulator's; production leaves it out
 * @throws InvalidOptionsError; WalLockedError while another process has the journal; WalIdentityError when it belongs to
 * another cluster; JournalUnusableError when its tables are missing; whatever else the journal refuses
 * @example
 * const payments = await httpParticipant({
 *   name: 'payments', clusterId: 'trips', journal: './payments-journal', credentials: { secret: process.env.SECRET ?? '' },
 *   prepare: ({ gid }) => reserve(gid), commit: ({ gid }) => book(gid), abort: ({ gid }) => release(gid),
 * })
 * app.use('/concordat', payments.express())
 */
export function httpParticipant<Sql = undefined>(
  options: HttpParticipantOptions<Sql>,
  seams: Partial<InstanceSeams> = {},
): Promise<HttpParticipant<Sql>> {
  return HttpParticipant.start(options, seams)
}

function checkedCredentials(given: ServiceCredentials): ServiceCredentials {
  if (given === 'none') return given
  const { secret, token, ...rest } = (given ?? {}) as { readonly secret?: unknown; readonly token?: unknown }
  const [text, ...more] = [secret, token].filter((each) => each !== undefined)
  const isOne = more.length === 0 && Object.keys(rest).length === 0
  if (isOne && typeof text === 'string' && text.length >= CREDENTIAL_CHARACTERS_MIN) return given
  const rule = `{ secret } or { token } of at least ${CREDENTIAL_CHARACTERS_MIN} characters, or 'none'`
  // What was given is not repeated: it may be a secret with a slip in it.
  throw new InvalidOptionsError('credentials', rule, 'something else')
}
