import { ServerSession, type SessionParts } from '../server-session.ts'
import { type Execution, execute, parse, splitStatements } from '../sql/index.ts'
import type { Mark, StoreTransaction } from '../store/index.ts'
import { type Control, parseControl } from './control.ts'
import { failureOf, PgRefusal, TERMINATED } from './errors.ts'
import { callFunction, viewRows } from './functions.ts'
import type { PgAnswer, PgFailure, PgRequest, PgResult, PgStatement } from './protocol.ts'
import type { SimPostgres } from './server.ts'

interface Savepoint {
  readonly name: string
  readonly mark: Mark
}

/**
 * One backend.
 *
 * - `none`: outside a block. A transaction that is there all the same is implicit and ends with the request.
 * - `open`: BEGIN was said.
 * - `failed`: a statement failed; its work is gone already, and only the end of the block (or of the savepoint) is heard.
 */
export class PostgresSession extends ServerSession<PgRequest, PgAnswer> {
  readonly pid: number
  readonly #server: SimPostgres
  #block: 'none' | 'open' | 'failed' = 'none'
  #tx: StoreTransaction | undefined
  #savepoints: Savepoint[] = []
  readonly #settings = new Map<string, string>()
  /** SET LOCAL: until the transaction's end. */
  #localSettings = new Map<string, string>()

  constructor(parts: SessionParts, server: SimPostgres, pid: number) {
    super(parts)
    this.#server = server
    this.pid = pid
  }

  /** pg_terminate_backend: it ends at its next step; a wait for a lock ends at once. */
  terminate(): void {
    if (this.#tx?.waitsFor !== undefined) this.#server.locks.cancel(this.#tx, 'killed')
    else {
      this.send(this.farewell())
      this.end()
    }
  }

  setting(name: string): string | undefined {
    return this.#localSettings.get(name) ?? this.#settings.get(name)
  }

  /** The transaction's id, once it has one. */
  get xid(): number | undefined {
    return this.#tx?.hasTouched === true ? this.#tx.id : undefined
  }

  protected override farewell(): PgAnswer {
    return { kind: 'fatal', error: TERMINATED }
  }

  protected override cleanUp(): void {
    if (this.#tx?.waitsFor !== undefined) this.#server.locks.cancel(this.#tx, 'killed')
    this.#rollBack()
  }

  protected override async carryOut(request: PgRequest): Promise<PgAnswer | undefined> {
    if (request.kind === 'startup') return { kind: 'ready', pid: this.pid }
    const results: PgResult[] = []
    const failure = await this.#runAll(request, results)
    if (this.isOver) return undefined
    if (failure !== undefined) this.#fail()
    // The end of a simple text and a Sync commit what no BEGIN has opened.
    else if (this.#block === 'none') this.#commit()
    if (failure?.severity === 'FATAL') {
      this.send({ kind: 'fatal', error: failure })
      this.end()
      return undefined
    }
    return { kind: 'done', results, error: failure }
  }

  async #runAll(
    request: PgRequest & { kind: 'simple' | 'extended' },
    results: PgResult[],
  ): Promise<PgFailure | undefined> {
    let offset = 0
    try {
      if (request.kind === 'extended') {
        for (const statement of request.statements) results.push(await this.#run(statement))
        return undefined
      }
      const parts = splitStatements(request.text)
      // The whole text is parsed before anything of it is carried out.
      for (const part of parts) {
        offset = part.offset
        if (parseControl(part.text) === undefined) parse(part.text)
      }
      for (const { text } of parts) results.push(await this.#run({ text, values: [] }))
      return undefined
    } catch (thrown) {
      return failureOf(thrown, offset)
    }
  }

  async #run({ text, values }: PgStatement): Promise<PgResult> {
    const control = parseControl(text)
    const statement = control === undefined ? parse(text) : undefined
    if (this.#block === 'failed' && !(control?.mayEndFailed ?? false)) {
      throw new PgRefusal('25P02', 'current transaction is aborted, commands ignored until end of transaction block')
    }
    if (control !== undefined) return this.#control(control)
    this.#tx ??= this.#server.begin()
    const result = await execute(statement!, this.#execution(values))
    return { tag: result.command, count: result.count, rows: result.rows }
  }

  #execution(parameters: readonly unknown[]): Execution {
    const server = this.#server
    const tx = this.#tx!
    return {
      store: server.store,
      locks: server.locks,
      tx,
      parameters,
      findsLockedDuplicates: true,
      call: (name, args) => callFunction({ server, session: this, clock: this.clock }, name, args),
      view: (name) => viewRows(server, name),
      // pg hands bigint and numeric out as text.
      wide: (value) => String(value),
      decimal: (value) => String(value),
      nameOf: (_text, expression) =>
        expression.kind === 'call' || expression.kind === 'column' ? expression.name : '?column?',
    }
  }

  async #control(control: Control): Promise<PgResult> {
    switch (control.kind) {
      case 'begin':
        if (this.#block === 'none') this.#block = 'open'
        this.#tx ??= this.#server.begin()
        return tag('BEGIN')
      case 'commit':
        return this.#endBlock(this.#block === 'failed' ? 'ROLLBACK' : 'COMMIT', control.chain)
      case 'rollback':
        return this.#endBlock('ROLLBACK', control.chain)
      case 'savepoint':
        this.#needBlock('SAVEPOINT')
        this.#savepoints.push({ name: control.name, mark: this.#tx!.mark })
        return tag('SAVEPOINT')
      case 'rollbackTo':
        this.#rollBackTo(control.name)
        return tag('ROLLBACK')
      case 'release':
        this.#needBlock('RELEASE SAVEPOINT')
        this.#savepoints.length = this.#findSavepoint(control.name)
        return tag('RELEASE')
      case 'prepare':
        return this.#prepare(control.gid)
      case 'settle':
        return this.#settlePrepared(control.verb, control.gid)
      case 'set': {
        const settings = control.isLocal ? this.#localSettings : this.#settings
        // Once it was set it is known to the session: empty, when the transaction's value is gone.
        if (!this.#settings.has(control.name)) this.#settings.set(control.name, '')
        if (!control.isLocal || this.#block !== 'none') settings.set(control.name, control.value)
        return tag('SET')
      }
      case 'sleep':
        this.#tx ??= this.#server.begin()
        await this.sleep(control.ms)
        return { tag: 'SELECT', count: 1, rows: [{ pg_sleep: '' }] }
    }
  }

  #prepare(gid: string): PgResult {
    const tx = this.#tx
    // In a failed block, and outside of one, it is no error: only the tag tells.
    if (this.#block === 'failed' || tx === undefined) {
      if (this.#block === 'failed') this.mark('postgres: PREPARE TRANSACTION in a failed block answers ROLLBACK')
      this.#rollBack()
      return tag('ROLLBACK')
    }
    try {
      this.#server.prepare(gid, tx, this.clock.wallMs())
    } catch (thrown) {
      // The block is over, not failed.
      this.#rollBack()
      throw thrown
    }
    this.#forget()
    return tag('PREPARE TRANSACTION')
  }

  async #settlePrepared(verb: 'COMMIT' | 'ROLLBACK', gid: string): Promise<PgResult> {
    if (this.#block !== 'none' || this.#tx !== undefined) {
      throw new PgRefusal('25001', `${verb} PREPARED cannot run inside a transaction block`)
    }
    await this.#server.settle(gid, verb, () => {
      const [low, high] = this.faults.settleMs
      return high > 0 ? this.sleep(this.host.random.between(low, high)) : undefined
    })
    return tag(`${verb} PREPARED`)
  }

  #endBlock(how: 'COMMIT' | 'ROLLBACK', chain: boolean): PgResult {
    if (chain) this.#needBlock(`${how} AND CHAIN`)
    if (how === 'COMMIT') this.#commit()
    else this.#rollBack()
    if (chain) {
      this.#block = 'open'
      this.#tx = this.#server.begin()
    }
    return tag(how)
  }

  #needBlock(what: string): void {
    if (this.#block === 'none') throw new PgRefusal('25P01', `${what} can only be used in transaction blocks`)
  }

  #rollBackTo(name: string): void {
    this.#needBlock('ROLLBACK TO SAVEPOINT')
    const index = this.#findSavepoint(name)
    const { mark } = this.#savepoints[index]!
    this.#savepoints.length = index + 1
    this.#undoTo(mark)
    this.#block = 'open'
  }

  #findSavepoint(name: string): number {
    const index = this.#savepoints.findLastIndex((savepoint) => savepoint.name === name)
    if (index < 0) throw new PgRefusal('3B001', `savepoint "${name}" does not exist`)
    return index
  }

  /** After an error the block's work is gone and its locks are free; with a savepoint only what came after that. */
  #fail(): void {
    const savepoint = this.#savepoints.at(-1)
    if (this.#block === 'none' || this.#tx === undefined) this.#rollBack()
    else {
      this.#block = 'failed'
      this.#undoTo(savepoint?.mark ?? { undos: 0, locks: 0 })
    }
  }

  #undoTo(mark: Mark): void {
    const tx = this.#tx
    if (tx === undefined) return
    tx.undoTo(mark)
    this.#server.locks.release(tx, mark.locks)
  }

  #commit(): void {
    const tx = this.#tx
    this.#forget()
    if (tx !== undefined) this.#server.commit(tx)
  }

  #rollBack(): void {
    const tx = this.#tx
    this.#forget()
    if (tx !== undefined) this.#server.rollBack(tx)
  }

  #forget(): void {
    this.#tx = undefined
    this.#block = 'none'
    this.#savepoints = []
    if (this.#localSettings.size > 0) this.#localSettings = new Map()
  }
}

function tag(words: string): PgResult {
  return { tag: words, count: 0, rows: [] }
}
