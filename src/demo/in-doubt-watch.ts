import { parseGid } from '../base/index.ts'
import type { TripPools } from './trip.ts'

/** A prepared branch that was seen, and for how long. */
interface Seen {
  readonly sinceMs: number
  lastMs: number
}

/**
 * Watches the databases' own lists of prepared branches. It looks every few milliseconds, so it sees
 * few of the branches of a healthy run and all that are left in doubt by a kill: its times are those of branches
 * that were found in two looks at least.
 */
export class InDoubtWatch {
  readonly #pools: TripPools
  readonly #seen = new Map<string, Seen>()
  /** How long each watched branch was in doubt, milliseconds, from its first look to its last. */
  readonly durationsMs: number[] = []
  #count = 0
  #timer: NodeJS.Timeout | undefined
  #stopped = false

  constructor(pools: TripPools) {
    this.#pools = pools
  }

  /** Prepared branches in all databases at the last look. */
  get count(): number {
    return this.#count
  }

  start(periodMs: number): void {
    const look = async (): Promise<void> => {
      await this.look().catch(() => {})
      if (!this.#stopped) this.#timer = setTimeout(look, periodMs)
    }
    void look()
  }

  stop(): void {
    this.#stopped = true
    clearTimeout(this.#timer)
  }

  /** One look at all databases. */
  async look(): Promise<number> {
    const gids = await listPrepared(this.#pools)
    const nowMs = performance.now()
    this.#count = gids.length
    for (const gid of gids) {
      const seen = this.#seen.get(gid)
      if (seen === undefined) this.#seen.set(gid, { sinceMs: nowMs, lastMs: nowMs })
      else seen.lastMs = nowMs
    }
    for (const [gid, seen] of this.#seen) {
      if (seen.lastMs === nowMs) continue
      this.#seen.delete(gid)
      if (seen.lastMs > seen.sinceMs && this.durationsMs.length < 1_000_000) this.durationsMs.push(nowMs - seen.sinceMs)
    }
    return this.#count
  }
}

/** Every prepared branch of ours, as the databases list it. */
export async function listPrepared(pools: TripPools): Promise<readonly string[]> {
  const [flights, hotels, payments] = await Promise.all([
    fromPostgres('flights', pools.flights),
    pools.hotels.kind === 'postgres' ? fromPostgres('hotels', pools.hotels.pool) : fromMariadb(pools.hotels.pool),
    fromPostgres('payments', pools.payments),
  ])
  return [...flights, ...hotels, ...payments]
}

async function fromPostgres(database: string, pool: TripPools['flights']): Promise<readonly string[]> {
  const { rows } = await pool.query<{ gid: string }>('select gid from pg_prepared_xacts')
  return rows.filter(({ gid }) => parseGid(gid) !== undefined).map(({ gid }) => `${database} ${gid}`)
}

async function fromMariadb(pool: Extract<TripPools['hotels'], { kind: 'mysql' }>['pool']): Promise<readonly string[]> {
  const [rows] = await pool.query('xa recover')
  return (rows as { data: Buffer | string }[]).map(({ data }) => `hotels ${String(data)}`)
}
