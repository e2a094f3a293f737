import { parseGid } from '../base/index.ts'
import { askKvStatus } from '../kv/index.ts'
import type { Companies, HotelsPool } from './companies.ts'

/** How long a participant may take to answer, milliseconds. */
const ASK_MS = 2_000

/** A prepared branch that was seen, and for how long. */
interface Seen {
  readonly sinceMs: number
  lastMs: number
}

/**
 * Watches the lists of prepared branches that databases and participants have. It looks every few milliseconds, so it sees
 * few of the branches of a healthy run and all that are left in doubt by a kill: its times are those of branches
 * that were found in two looks at least.
 */
export class InDoubtWatch {
  readonly #companies: Companies
  readonly #seen = new Map<string, Seen>()
  /** How long each watched branch was in doubt, milliseconds, from its first look to its last. */
  readonly durationsMs: number[] = []
  #count = 0
  #timer: NodeJS.Timeout | undefined
  #stopped = false

  constructor(companies: Companies) {
    this.#companies = companies
  }

  /** Prepared branches everywhere at the last look. */
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

  /** One look at all of them. @throws when one is down: nothing can be said then */
  async look(): Promise<number> {
    const gids = await listPrepared(this.#companies)
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

/** Every prepared branch of ours, as whoever holds it lists it. @throws when one can't be asked */
export async function listPrepared({ flights, hotels, places }: Companies): Promise<readonly string[]> {
  const lists = await Promise.all([
    fromPostgres('flights', flights),
    hotels.kind === 'postgres' ? fromPostgres('hotels', hotels.pool) : fromMariadb(hotels.pool),
    fromKeyValue(places.payments),
    fromTickets(places.tickets.url),
  ])
  return lists.flat()
}

async function fromPostgres(database: string, pool: Companies['flights']): Promise<readonly string[]> {
  const { rows } = await pool.query<{ gid: string }>('select gid from pg_prepared_xacts')
  return rows.filter(({ gid }) => parseGid(gid) !== undefined).map(({ gid }) => `${database} ${gid}`)
}

async function fromMariadb(pool: Extract<HotelsPool, { kind: 'mysql' }>['pool']): Promise<readonly string[]> {
  const [rows] = await pool.query('xa recover')
  return (rows as { data: Buffer | string }[]).map(({ data }) => `hotels ${String(data)}`)
}

async function fromKeyValue(address: string): Promise<readonly string[]> {
  const [host = '', port] = address.split(':')
  const { inDoubt } = await askKvStatus({ host, port: Number(port) }, { timeoutMs: ASK_MS })
  return inDoubt.map(({ txid }) => `payments ${txid}`)
}

async function fromTickets(url: string): Promise<readonly string[]> {
  const answer = await fetch(`${url}/in-doubt`, { signal: AbortSignal.timeout(ASK_MS) })
  return ((await answer.json()) as string[]).map((gid) => `tickets ${gid}`)
}
