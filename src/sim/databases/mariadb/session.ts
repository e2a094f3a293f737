import { ServerSession, type SessionParts } from '../server-session.ts'
import { type Execution, execute, parse, type Statement, splitStatements } from '../sql/index.ts'
import { LockError, type Mark, type StoreTransaction } from '../store/index.ts'
import { type Control, parseControl } from './control.ts'
import { failureOf, KILLED, MyRefusal } from './errors.ts'
import { callFunction } from './functions.ts'
import type { MyAnswer, MyFailure, MyRequest, MyResult } from './protocol.ts'
import type { SimMariadb } from './server.ts'
import { keyOf, type XaBranch, type Xid } from './xa.ts'

/**
 * One connection's thread.
 *
 * A transaction is an XA branch, or one that BEGIN opened, or lasts for one statement. An error takes back the statement
 * alone; a deadlock takes back all, and what comes next is outside of any transaction (databases.md).
 */
export class MariadbSession extends ServerSession<MyRequest, MyAnswer> {
  readonly pid: number
  readonly #server: SimMariadb
  #tx: StoreTransaction | undefined
  #branch: XaBranch | undefined
  #savepoints = new Map<string, Mark>()
  /** The branch without a session that it is ending just now. */
  #claimed: XaBranch | undefined

  constructor(parts: SessionParts, server: SimMariadb, pid: number) {
    super(parts)
    this.#server = server
    this.pid = pid
  }

  /** KILL CONNECTION: a wait for a lock ends at once. */
  terminate(): void {
    if (this.#tx?.waitsFor !== undefined) this.#server.locks.cancel(this.#tx, 'killed')
    else {
      this.send(this.farewell())
      this.end()
    }
  }

  protected override farewell(): MyAnswer {
    return { kind: 'fatal', error: KILLED }
  }

  protected override cleanUp(): void {
    const branch = this.#branch
    this.#branch = undefined
    if (this.#claimed !== undefined) this.#server.branches.unclaim(this.#claimed)
    if (branch?.state === 'PREPARED') {
      this.#tx = undefined
      this.#server.detach(branch)
      return
    }
    // Between XA END and XA PREPARE too: a branch that is not prepared goes with its session.
    if (branch !== undefined) {
      if (branch.state === 'IDLE') this.mark('mariadb: a branch lost its session between XA END and XA PREPARE')
      this.#server.branches.remove(branch)
    }
    const tx = this.#tx
    if (tx?.waitsFor !== undefined) this.#server.locks.cancel(tx, 'killed')
    this.#endTransaction('ROLLBACK')
  }

  protected override async carryOut(request: MyRequest): Promise<MyAnswer | undefined> {
    if (request.kind === 'startup') return { kind: 'ready', pid: this.pid }
    const results: MyResult[] = []
    let error: MyFailure | undefined
    try {
      for (const { text } of splitStatements(request.text)) results.push(await this.#run(text, request.values))
    } catch (thrown) {
      error = failureOf(thrown)
    }
    if (this.isOver) return undefined
    if (error?.errno === KILLED.errno) {
      this.send(this.farewell())
      this.end()
      return undefined
    }
    return { kind: 'done', results, error }
  }

  async #run(text: string, values: readonly unknown[]): Promise<MyResult> {
    const control = parseControl(text)
    if (control !== undefined) return this.#control(control)
    const statement = parse(text)
    this.#checkState(statement)
    const isLone = this.#tx === undefined
    this.#tx ??= this.#server.store.begin()
    const tx = this.#tx
    const before = tx.mark
    try {
      if (!isLone && statement.kind === 'select' && statement.from !== undefined) this.#server.store.takeSnapshot(tx)
      const { command, count, rows } = await execute(statement, this.#execution(tx, values))
      if (isLone) this.#endTransaction('COMMIT')
      return command === 'SELECT' ? { rows, affectedRows: 0 } : { rows: undefined, affectedRows: count }
    } catch (thrown) {
      if (!tx.isOver) this.#failed(thrown, isLone, tx, before)
      throw thrown
    }
  }

  /** What a branch allows in its state; a SELECT without a table always. */
  #checkState(statement: Statement): void {
    const branch = this.#branch
    if (branch === undefined) {
      // DDL commits what is open, silently.
      if (statement.kind === 'createTable') this.#endTransaction('COMMIT')
      return
    }
    if (statement.kind === 'select' && statement.from === undefined) return
    if (branch.state !== 'ACTIVE' || statement.kind === 'createTable') throw new MyRefusal('rmfail', branch.state)
  }

  #failed(thrown: unknown, isLone: boolean, tx: StoreTransaction, before: Mark): void {
    if (thrown instanceof LockError && thrown.reason === 'deadlock') {
      this.mark('mariadb: deadlock victim (1213)')
      if (this.#branch !== undefined) {
        this.#branch.state = 'ROLLBACK ONLY'
        this.#branch.tx = undefined
      }
      this.#endTransaction('ROLLBACK')
    } else if (isLone) this.#endTransaction('ROLLBACK')
    else {
      if (thrown instanceof LockError) this.mark('mariadb: lock wait timeout rolls back the statement alone (1205)')
      // Its locks stay.
      tx.undoTo(before)
    }
  }

  #execution(tx: StoreTransaction, parameters: readonly unknown[]): Execution {
    const { store, locks } = this.#server
    return {
      store,
      locks,
      tx,
      parameters,
      findsLockedDuplicates: false,
      call: callFunction,
      view: () => undefined,
      wide: (value) => value,
      decimal: (value) => String(value),
      nameOf: (text) => text,
    }
  }

  async #control(control: Control): Promise<MyResult> {
    switch (control.kind) {
      case 'begin':
      case 'commit':
      case 'rollback':
        if (this.#branch !== undefined) throw new MyRefusal('rmfail', this.#branch.state)
        // BEGIN too commits what is open.
        this.#endTransaction(control.kind === 'rollback' ? 'ROLLBACK' : 'COMMIT')
        if (control.kind === 'begin') this.#tx = this.#server.store.begin()
        return DONE
      case 'savepoint':
        if (this.#branch !== undefined && this.#branch.state !== 'ACTIVE') {
          throw new MyRefusal('rmfail', this.#branch.state)
        }
        if (this.#tx !== undefined) this.#savepoints.set(control.name, this.#tx.mark)
        return DONE
      case 'rollbackTo':
        this.#savepoint(control.name, (mark) => this.#tx?.undoTo(mark))
        return DONE
      case 'release':
        this.#savepoint(control.name, () => this.#savepoints.delete(control.name))
        return DONE
      case 'xaStart':
        return this.#xaStart(control.xid)
      case 'xaEnd':
        this.#inState('ACTIVE', control.xid).state = 'IDLE'
        return DONE
      case 'xaPrepare':
        this.#server.prepare(this.#inState('IDLE', control.xid))
        return DONE
      case 'xaSettle':
        return this.#xaSettle(control)
      case 'xaRecover':
        return { rows: this.#server.branches.rows(), affectedRows: 0 }
      case 'sleep':
        await this.sleep(control.ms)
        return { rows: [{ 'SLEEP()': 0 }], affectedRows: 0 }
      case 'variables':
        return { rows: [{ Variable_name: 'wsrep_on', Value: 'OFF' }], affectedRows: 0 }
    }
  }

  #savepoint(name: string, use: (mark: Mark) => void): void {
    const mark = this.#savepoints.get(name)
    if (mark === undefined) throw new MyRefusal('noSavepoint', name)
    use(mark)
  }

  #xaStart(xid: Xid): MyResult {
    if (this.#branch !== undefined) throw new MyRefusal('rmfail', this.#branch.state)
    if (this.#tx !== undefined) throw new MyRefusal('outside')
    const tx = this.#server.store.begin()
    try {
      this.#branch = this.#server.branches.add(xid, tx)
    } catch (refusal) {
      this.mark('mariadb: xid in use (1440)')
      this.#server.rollBack(tx)
      throw refusal
    }
    this.#tx = tx
    return DONE
  }

  /** The session's own branch, which must be in this state and have this xid. @throws MyRefusal */
  #inState(state: 'ACTIVE' | 'IDLE', xid: Xid): XaBranch {
    const branch = this.#branch
    if (branch?.state !== state) throw new MyRefusal('rmfail', branch?.state ?? 'NON-EXISTING')
    if (keyOf(branch.xid) !== keyOf(xid)) throw new MyRefusal('nota')
    return branch
  }

  async #xaSettle({ verb, xid, onePhase }: Control & { kind: 'xaSettle' }): Promise<MyResult> {
    const branch = this.#branch
    if (branch !== undefined && keyOf(branch.xid) === keyOf(xid)) return this.#settleOwn(branch, verb, onePhase)
    if (branch !== undefined || this.#tx !== undefined) throw new MyRefusal('outside')
    if (onePhase) throw new MyRefusal('inval')
    this.#claimed = this.#server.branches.claim(xid)
    try {
      await this.#server.settle(this.#claimed, verb, () => this.#pause())
    } finally {
      this.#claimed = undefined
    }
    return DONE
  }

  async #settleOwn(branch: XaBranch, verb: 'COMMIT' | 'ROLLBACK', onePhase: boolean): Promise<MyResult> {
    const { state } = branch
    if (state === 'ROLLBACK ONLY') {
      this.#dropBranch(branch, 'ROLLBACK')
      if (verb === 'COMMIT') throw new MyRefusal('rbDeadlock')
      return DONE
    }
    if (state === 'ACTIVE') throw new MyRefusal('rmfail', state)
    if (verb === 'COMMIT') {
      if (state === 'IDLE' && !onePhase) throw new MyRefusal('rmfail', state)
      if (state === 'PREPARED' && onePhase) throw new MyRefusal('inval')
    }
    await this.#pause()
    if (this.isOver || this.#branch !== branch) return DONE
    this.#dropBranch(branch, verb)
    return DONE
  }

  #dropBranch(branch: XaBranch, verb: 'COMMIT' | 'ROLLBACK'): void {
    this.#branch = undefined
    this.#server.branches.remove(branch)
    this.#endTransaction(verb)
    if (branch.state === 'PREPARED') this.#server.ended(branch, verb)
  }

  #pause(): Promise<void> | undefined {
    const [low, high] = this.faults.settleMs
    return high > 0 ? this.sleep(this.host.random.between(low, high)) : undefined
  }

  #endTransaction(verb: 'COMMIT' | 'ROLLBACK'): void {
    const tx = this.#tx
    this.#tx = undefined
    if (this.#savepoints.size > 0) this.#savepoints = new Map()
    if (tx === undefined || tx.isOver) return
    if (verb === 'COMMIT') this.#server.commit(tx)
    else this.#server.rollBack(tx)
  }
}

const DONE: MyResult = { rows: undefined, affectedRows: 0 }
