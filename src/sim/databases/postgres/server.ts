import type { Channel } from '../../kernel/types.ts'
import { type DatabaseObserver, type Host, type Mark, nobodyObserves, noFaults, type ServerFaults } from '../host.ts'
import { Locks, Store, type StoreTransaction } from '../store/index.ts'
import { PgRefusal } from './errors.ts'
import { PostgresSession } from './session.ts'

export interface SimPostgresOptions {
  /** Where drivers find it: the name of its channel. */
  readonly name: string
  /** `max_prepared_transactions`. Default 64. */
  readonly preparedMax?: number
  /** `max_connections`. Default 100. */
  readonly connectionsMax?: number
  /** `lock_timeout`; 0, the default, waits for ever. */
  readonly lockTimeoutMs?: number
  /** `deadlock_timeout`. Default 1,000. */
  readonly deadlockMs?: number
  /** The first transaction id. Default 700; beyond 2^32 the views show only its lower half. */
  readonly firstXid?: number
  readonly mark?: Mark
  readonly observer?: DatabaseObserver
}

/** A transaction that was prepared, as the server keeps it over crashes. */
export interface PreparedTransaction {
  readonly gid: string
  readonly tx: StoreTransaction
  /** By the server's wall clock. */
  readonly preparedMs: number
}

/**
 * A simulated PostgreSQL server. This object is its disk: it lives as long as the world. `serve` is one run of its process;
 * `crash` is what a death of that process does to the data.
 *
 * 1. What is committed or prepared survives a crash; everything else is rolled back by it.
 * 2. A gid names at most one prepared transaction, and at most `preparedMax` are prepared.
 */
export class SimPostgres {
  readonly name: string
  readonly faults: ServerFaults = noFaults()
  readonly store: Store
  readonly mark: Mark
  readonly #observer: DatabaseObserver
  readonly preparedMax: number
  readonly #connectionsMax: number
  readonly #lockTimeoutMs: number | undefined
  readonly #deadlockMs: number
  readonly #prepared = new Map<string, PreparedTransaction>()
  readonly #settling = new Set<string>()
  readonly #committed = new Set<number>()
  readonly #inProgress = new Set<number>()
  readonly #sessions = new Map<number, PostgresSession>()
  #run: { readonly host: Host; readonly locks: Locks } | undefined
  #lastPid = 100

  constructor(options: SimPostgresOptions) {
    this.name = options.name
    this.preparedMax = options.preparedMax ?? 64
    this.#connectionsMax = options.connectionsMax ?? 100
    const { lockTimeoutMs = 0 } = options
    this.#lockTimeoutMs = lockTimeoutMs === 0 ? undefined : lockTimeoutMs
    this.#deadlockMs = options.deadlockMs ?? 1_000
    this.mark = options.mark ?? (() => {})
    this.#observer = options.observer ?? nobodyObserves
    this.store = new Store(options.firstXid ?? 700)
  }

  /** Takes connections in a process. The earlier one is gone, and `crash` was called. */
  serve(host: Host): void {
    const policy = { victim: 'waiter', deadlockMs: this.#deadlockMs, timeoutMs: this.#lockTimeoutMs } as const
    this.#run = { host, locks: new Locks(host.clock, policy) }
    host.channels.listen(this.name, (channel) => this.#accept(host, channel))
  }

  /** The process is gone, however it went. Repeats are harmless. */
  crash(): void {
    if (this.#run === undefined) return
    this.store.crash(this.#run.locks)
    this.#run = undefined
    this.#sessions.clear()
    this.#settling.clear()
    this.#inProgress.clear()
    if (this.#prepared.size > 0) this.mark('postgres: prepared branches survive a crash')
    for (const { tx } of this.#prepared.values()) this.#inProgress.add(tx.id)
  }

  get locks(): Locks {
    if (this.#run === undefined) throw new Error('the server does not run')
    return this.#run.locks
  }

  begin(): StoreTransaction {
    const tx = this.store.begin()
    this.#inProgress.add(tx.id)
    return tx
  }

  commit(tx: StoreTransaction): void {
    this.#inProgress.delete(tx.id)
    if (tx.hasTouched) this.#committed.add(tx.id)
    this.store.commit(tx, this.locks)
  }

  rollBack(tx: StoreTransaction): void {
    this.#inProgress.delete(tx.id)
    this.store.rollBack(tx, this.locks)
  }

  /** @throws PgRefusal: the transaction is to be rolled back */
  prepare(gid: string, tx: StoreTransaction, wallMs: number): void {
    if (gid.length >= 200) throw new PgRefusal('22023', `transaction identifier "${gid}" is too long`)
    if (this.preparedMax === 0) throw new PgRefusal('55000', 'prepared transactions are disabled')
    if (this.#prepared.has(gid)) {
      this.mark('postgres: gid in use (42710)')
      throw new PgRefusal('42710', `transaction identifier "${gid}" is already in use`)
    }
    if (this.#prepared.size >= this.preparedMax) {
      this.mark('postgres: no slot left for a prepared branch (53200)')
      throw new PgRefusal('53200', 'maximum number of prepared transactions reached')
    }
    tx.isPrepared = true
    this.#prepared.set(gid, { gid, tx, preparedMs: wallMs })
    this.#observer.prepared(gid)
  }

  /** COMMIT PREPARED or ROLLBACK PREPARED; while `pause` lasts the gid is busy. @throws PgRefusal */
  async settle(gid: string, verb: 'COMMIT' | 'ROLLBACK', pause: () => Promise<void> | undefined): Promise<void> {
    const prepared = this.#prepared.get(gid)
    if (prepared === undefined) {
      throw new PgRefusal('42704', `prepared transaction with identifier "${gid}" does not exist`)
    }
    if (this.#settling.has(gid)) {
      this.mark('postgres: prepared branch is busy (55000)')
      throw new PgRefusal('55000', `prepared transaction with identifier "${gid}" is busy`)
    }
    this.#settling.add(gid)
    await pause()
    if (this.#run === undefined || this.#prepared.get(gid) !== prepared) return
    this.#settling.delete(gid)
    this.#prepared.delete(gid)
    if (verb === 'COMMIT') this.commit(prepared.tx)
    else this.rollBack(prepared.tx)
    this.#observer.ended(gid, verb === 'COMMIT' ? 'committed' : 'aborted')
  }

  /** An administrator ends a prepared branch by hand. False: there is none of this gid, or it is busy. */
  settleByHand(gid: string, verb: 'COMMIT' | 'ROLLBACK'): boolean {
    if (this.#run === undefined || !this.#prepared.has(gid) || this.#settling.has(gid)) return false
    void this.settle(gid, verb, () => undefined)
    return true
  }

  /** The gids of prepared branches. */
  preparedGids(): readonly string[] {
    return [...this.#prepared.keys()]
  }

  prepared(): readonly PreparedTransaction[] {
    return [...this.#prepared.values()]
  }

  /** What pg_xact_status says. @throws PgRefusal for an xid of the future */
  statusOf(xid: number): 'committed' | 'aborted' | 'in progress' {
    if (xid >= this.store.nextId) throw new PgRefusal('22023', `transaction ID ${xid} is in the future`)
    if (this.#committed.has(xid)) return 'committed'
    return this.#inProgress.has(xid) ? 'in progress' : 'aborted'
  }

  /** pg_terminate_backend. */
  terminate(pid: number): boolean {
    const session = this.#sessions.get(pid)
    session?.terminate()
    return session !== undefined
  }

  #accept(host: Host, channel: Channel): void {
    this.#lastPid += 1
    const pid = this.#lastPid
    const { faults, mark } = this
    const isFull = this.#sessions.size >= this.#connectionsMax
    if (isFull || (faults.refuseChance > 0 && host.random.chance(faults.refuseChance))) {
      mark('postgres: too many clients (53300)')
      const { failure } = new PgRefusal('53300', 'sorry, too many clients already', 'FATAL')
      channel.send({ kind: 'fatal', error: failure })
      channel.close()
      return
    }
    const onEnd = (): void => void this.#sessions.delete(pid)
    this.#sessions.set(pid, new PostgresSession({ host, channel, faults, mark, onEnd }, this, pid))
  }
}
