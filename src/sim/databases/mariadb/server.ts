import type { Channel } from '../../kernel/types.ts'
import { type DatabaseObserver, type Host, type Mark, nobodyObserves, noFaults, type ServerFaults } from '../host.ts'
import { Locks, Store, type StoreTransaction } from '../store/index.ts'
import { MyRefusal } from './errors.ts'
import { MariadbSession } from './session.ts'
import { type XaBranch, XaBranches } from './xa.ts'

export interface SimMariadbOptions {
  /** Where drivers find it: the name of its channel. */
  readonly name: string
  /** Default 100. */
  readonly connectionsMax?: number
  /** `innodb_lock_wait_timeout`. Default 50,000. */
  readonly lockTimeoutMs?: number
  readonly mark?: Mark
  readonly observer?: DatabaseObserver
}

/**
 * A simulated MariaDB 10.11 server with InnoDB. This object is its disk: it lives as long as the world. `serve` is one run
 * of its process; `crash` is what a death of that process does to the data.
 *
 * 1. What is committed, or prepared after it wrote, survives a crash; everything else is gone.
 * 2. See XaBranches for who may end a prepared branch.
 */
export class SimMariadb {
  readonly name: string
  readonly faults: ServerFaults = noFaults()
  readonly store = new Store(1)
  readonly branches = new XaBranches()
  readonly mark: Mark
  readonly #observer: DatabaseObserver
  readonly #connectionsMax: number
  readonly #lockTimeoutMs: number
  readonly #sessions = new Map<number, MariadbSession>()
  #run: { readonly host: Host; readonly locks: Locks } | undefined
  #lastPid = 0

  constructor(options: SimMariadbOptions) {
    this.name = options.name
    this.#connectionsMax = options.connectionsMax ?? 100
    this.#lockTimeoutMs = options.lockTimeoutMs ?? 50_000
    this.mark = options.mark ?? (() => {})
    this.#observer = options.observer ?? nobodyObserves
  }

  /** Takes connections in a process. The earlier one is gone, and `crash` was called. */
  serve(host: Host): void {
    const policy = { victim: 'lightest', deadlockMs: 0, timeoutMs: this.#lockTimeoutMs } as const
    this.#run = { host, locks: new Locks(host.clock, policy) }
    host.channels.listen(this.name, (channel) => this.#accept(host, channel))
  }

  /** The process is gone, however it went. Repeats are harmless. */
  crash(): void {
    if (this.#run === undefined) return
    // First of all: nobody who waits may wake up by what is freed now.
    this.#run.locks.crash()
    for (const branch of this.branches.prepared()) this.#releaseUnlessWritten(branch)
    this.store.crash(this.#run.locks)
    this.#run = undefined
    this.#sessions.clear()
    this.branches.crash()
    if (this.branches.prepared().length > 0) this.mark('mariadb: prepared branches survive a crash')
  }

  get locks(): Locks {
    if (this.#run === undefined) throw new Error('the server does not run')
    return this.#run.locks
  }

  commit(tx: StoreTransaction): void {
    this.store.commit(tx, this.locks)
  }

  rollBack(tx: StoreTransaction): void {
    this.store.rollBack(tx, this.locks)
  }

  /** The session of a prepared branch is gone: from now on anybody may end it. */
  detach(branch: XaBranch): void {
    branch.state = 'DETACHED'
    this.mark('mariadb: a prepared branch outlives its session')
    this.#releaseUnlessWritten(branch)
  }

  /** XA COMMIT or XA ROLLBACK of a branch that has no session; others don't know its xid meanwhile. @throws MyRefusal */
  async settle(branch: XaBranch, verb: 'COMMIT' | 'ROLLBACK', pause: () => Promise<void> | undefined): Promise<void> {
    await pause()
    if (this.#run === undefined || !this.branches.knows(branch)) return
    this.branches.remove(branch)
    // 1402: InnoDB kept nothing of it, so nothing can be committed, nor rolled back.
    if (branch.tx === undefined) {
      this.mark('mariadb: a branch that wrote nothing lost its session (1402)')
      throw new MyRefusal('rolledBack')
    }
    if (verb === 'COMMIT') this.commit(branch.tx)
    else this.rollBack(branch.tx)
    this.ended(branch, verb)
  }

  /** XA PREPARE: from now on the branch survives everything, unless it wrote nothing. */
  prepare(branch: XaBranch): void {
    branch.state = 'PREPARED'
    branch.tx!.isPrepared = true
    this.#observer.prepared(gidOf(branch))
  }

  /** A prepared branch was ended. */
  ended(branch: XaBranch, verb: 'COMMIT' | 'ROLLBACK'): void {
    this.#observer.ended(gidOf(branch), verb === 'COMMIT' ? 'committed' : 'aborted')
  }

  /** An administrator ends a prepared branch by hand. False: nobody but its session may, or it wrote nothing. */
  settleByHand(gid: string, verb: 'COMMIT' | 'ROLLBACK'): boolean {
    const branch = this.branches.prepared().find((one) => gidOf(one) === gid)
    if (this.#run === undefined || branch?.state !== 'DETACHED' || branch.tx === undefined) return false
    if (!this.branches.isFree(branch)) return false
    void this.settle(this.branches.claim(branch.xid), verb, () => undefined)
    return true
  }

  /** The names of prepared branches, as our adapter has them. */
  preparedGids(): readonly string[] {
    return this.branches.prepared().map(gidOf)
  }

  /** KILL CONNECTION. */
  terminate(pid: number): void {
    this.#sessions.get(pid)?.terminate()
  }

  #releaseUnlessWritten(branch: XaBranch): void {
    if (branch.tx === undefined || branch.tx.undos.length > 0) return
    this.rollBack(branch.tx)
    branch.tx = undefined
    this.#observer.emptied(gidOf(branch))
  }

  #accept(host: Host, channel: Channel): void {
    this.#lastPid += 1
    const pid = this.#lastPid
    const { faults, mark } = this
    const isFull = this.#sessions.size >= this.#connectionsMax
    if (isFull || (faults.refuseChance > 0 && host.random.chance(faults.refuseChance))) {
      mark('mariadb: too many connections (1040)')
      channel.send({ kind: 'fatal', error: new MyRefusal('tooMany').failure })
      channel.close()
      return
    }
    const onEnd = (): void => void this.#sessions.delete(pid)
    this.#sessions.set(pid, new MariadbSession({ host, channel, faults, mark, onEnd }, this, pid))
  }
}

/** The name under which observers know a branch: that of our adapter. */
function gidOf({ xid: { gtrid, bqual } }: XaBranch): string {
  return `${gtrid}_${bqual}`
}
