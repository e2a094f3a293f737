import { type Clock, joinedName, parseClusterId, toError } from '../../base/index.ts'
import {
  type JoinedResource,
  JoinedWork,
  openParticipantPort,
  type ParticipantOrder,
  type Transaction,
} from '../../client/index.ts'
import { silentLogger } from '../../coordinator/index.ts'
import type { Connection } from '../../transport/index.ts'
import { drawFraction, drawId, type ParticipantSeams, participantSeams } from '../seams.ts'
import { Inquirer } from '../service/inquirer.ts'
import { KEEPER_DEFAULTS } from '../service/options.ts'
import {
  type ExpressMiddleware,
  expressMiddleware,
  type FastifyJoining,
  type FetchHandler,
  fastifyJoining,
  fetchJoining,
  type HonoMiddleware,
  honoMiddleware,
  type NodeHandler,
  nodeJoining,
} from './frameworks.ts'
import { Gate } from './gate.ts'
import { JoinedCalls } from './joined-calls.ts'
import { checkJoiningOptions, JOINING_DEFAULTS, type JoiningOptions } from './options.ts'
import { TransactionsOfCalls } from './transactions-of-calls.ts'

/** Random bytes in the name of a process. */
const INSTANCE_BYTES = 6

type Port = ReturnType<typeof openParticipantPort>

/** A service's way into the transactions of its callers. Made by `joining`. */
export class Joining {
  readonly #work: JoinedWork
  readonly #calls: JoinedCalls
  readonly #ports: readonly Port[]
  readonly #inquirer: Inquirer
  readonly #gate: Gate
  readonly #byCall = new TransactionsOfCalls()
  readonly #closeTimeoutMs: number
  readonly #clock: Clock
  #closing: Promise<void> | undefined

  /** @internal See `joining`. */
  constructor(options: JoiningOptions, given: Partial<ParticipantSeams> = {}) {
    const seams = participantSeams(given)
    const { clock, network, later: schedule } = seams
    const random = (): number => drawFraction(seams)
    const { timeoutMaxMs, openMax, closeTimeoutMs } = checkJoiningOptions(options)
    const { coordinators, tls, resources, logger = silentLogger } = options
    const clusterId = parseClusterId(options.clusterId)
    this.#closeTimeoutMs = closeTimeoutMs
    this.#clock = clock
    this.#work = new JoinedWork(clock, random, logger)
    const instance = Buffer.from(drawId(seams)).toString('hex', 0, INSTANCE_BYTES)
    const joinedResources = new Map<string, JoinedResource>()
    const ports: Port[] = []
    this.#calls = new JoinedCalls(this.#work, joinedResources)
    for (const resource of resources) {
      // A connection for each database: the name that it says in its hello is the one that may vote for the branches there.
      const participant = joinedName(instance, resource.name)
      const port: Port = openParticipantPort(
        { coordinators, name: participant, clusterId, logger, ...(tls !== undefined && { tls }) },
        (order, connection) => this.#take(order, connection, port),
        { clock, network, schedule, random },
      )
      ports.push(port)
      const ack: JoinedResource['ack'] = (txid, branches) => port.ack(txid, branches)
      joinedResources.set(resource.name, { participant, settler: this.#work.settler(port), ack })
    }
    this.#ports = ports
    const isClosing = (): boolean => this.#closing !== undefined
    this.#gate = new Gate({ clusterId, calls: this.#calls, openMax, timeoutMaxMs, isClosing, logger })
    const calls = this.#calls
    this.#inquirer = new Inquirer({
      keeper: { table: calls, decide: (txid, branch, decision) => calls.decide(txid, branch, decision) },
      coordinators: ports[0]!,
      clusterId,
      clock,
      logger,
      options: { ...KEEPER_DEFAULTS, ...JOINING_DEFAULTS },
    })
  }

  /** @internal See `joining`. */
  async start(): Promise<this> {
    for (const port of this.#ports) port.connect()
    this.#inquirer.start()
    return this
  }

  /**
   * The transaction that a call is part of, as `transaction()` gives it to its callback; undefined when it is part of none. It
   * may be used until the answer begins.
   *
   * @param request what the framework gives to the handler (Express, node:http, Fastify), or its `Request` (Hono: `c.req.raw`)
   */
  transaction(request: object): Transaction | undefined {
    return this.#byCall.get(request)
  }

  /** For Express (and Connect): `app.use(joining.express())`, before the routes. */
  express(): ExpressMiddleware {
    return expressMiddleware(this.#gate, this.#byCall)
  }

  /** For Fastify: `app.register(joining.fastify())`, before the routes. */
  fastify(): FastifyJoining {
    return fastifyJoining(this.#gate, this.#byCall)
  }

  /** For Hono: `app.use(joining.hono())`, before the routes. */
  hono(): HonoMiddleware {
    return honoMiddleware(this.#gate, this.#byCall)
  }

  /** For `node:http`: `createServer(joining.node((request, response) => …))`. */
  node(handler: NodeHandler): NodeHandler {
    return nodeJoining(this.#gate, this.#byCall, handler)
  }

  /** For whatever else speaks in `Request` and `Response`. */
  fetch(handler: FetchHandler): FetchHandler {
    return fetchJoining(this.#gate, this.#byCall, handler)
  }

  /** Calls that are joined and have not ended here. */
  get openCount(): number {
    return this.#calls.size
  }

  /**
   * Joins nothing more, waits until what is joined has ended, at most `closeTimeoutMs`, gives up the rest, and disconnects.
   * Branches that are prepared then are finished by the coordinators' resolver. Your pools stay open.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    const { background, deadlines } = this.#work
    const dueMs = this.#clock.monotonicMs() + this.#closeTimeoutMs
    // The inquirer's scan forgets what has ended.
    while (this.#calls.size > 0 && this.#clock.monotonicMs() < dueMs) {
      await new Promise<void>((resolve) => this.#clock.after(CLOSE_LOOK_MS, resolve))
    }
    this.#inquirer.stop()
    for (const joined of this.#calls.values()) joined.leave()
    background.stop()
    await deadlines.within(background.idle(), this.#closeTimeoutMs, undefined)
    await Promise.all(this.#ports.map((port) => port.close()))
  }

  #take(order: ParticipantOrder, connection: Connection, port: Port): void {
    const { txid, branch } = order
    const joined = this.#calls.find(txid, branch)
    if (order.kind === 'decision') {
      if (joined !== undefined) this.#calls.decide(txid, branch, order.decision)
      // The name that was told is this process's alone: what it does not hold was rolled back, and is nowhere else.
      else if (order.decision === 'abort') port.ack(txid, [branch])
      return
    }
    const voting = joined === undefined ? Promise.resolve('abort' as const) : joined.vote(branch)
    // A vote that is lost with its connection is asked for again.
    voting.then(
      (vote) => connection.send({ kind: 'vote', txid, branch, vote, evidence: joined?.evidence(branch) }),
      (thrown: unknown) => this.#work.logger.error({ txid, err: toError(thrown) }, 'a vote could not be found out'),
    )
  }
}

const CLOSE_LOOK_MS = 20

/**
 * Makes a service join the transactions of its callers: a call that carries `concordat-tx` runs its handler inside the
 * caller's transaction, and what the handler does in branches of these databases is committed or aborted with it. The
 * process needs no port for the coordinators, and keeps nothing on disk. Read docs/joining.md.
 *
 * @param seams the simulator's; a service leaves it out
 * @throws InvalidOptionsError, MalformedIdError
 * @example
 * const stock = postgres(pool, { name: 'stock' })
 * const joins = await joining({ coordinators: ['10.0.0.1:7400'], clusterId: 'trips', resources: [stock] })
 * app.use(joins.express())
 * app.post('/reserve', async (request, response) => {
 *   const db = await joins.transaction(request).enlist(stock)
 *   await db.query('update items set free = free - 1 where id = $1', [request.body.id])
 *   response.json({ reserved: true })
 * })
 */
export function joining(options: JoiningOptions, seams: Partial<ParticipantSeams> = {}): Promise<Joining> {
  return new Joining(options, seams).start()
}
