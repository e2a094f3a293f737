import { isAbsolute, resolve } from 'node:path'
import { isParticipantName, PARTICIPANT_NAME_RULE, parseClusterId } from '../../base/index.ts'
import { InvalidOptionsError, type Logger } from '../../client/index.ts'
import { silentLogger } from '../../coordinator/index.ts'
import { drawId, type ParticipantSeams } from '../seams.ts'
import type { ServiceJournal } from '../sql-journal/service-journal.ts'
import type { ServiceHandlers } from './handlers.ts'
import type { Journal } from './journal.ts'
import { LocalJournal } from './local-journal.ts'
import { KEEPER_DEFAULTS, type KeeperOptions } from './options.ts'
import { type JournalTuning, WalJournal } from './wal-journal.ts'

/** What every instance of a service is told, however the coordinators reach it. */
export interface InstanceOptions<Sql = undefined> extends ServiceHandlers<Sql> {
  /** The service's name, the same for all its instances: applications enlist it by this. 1 to 64 characters of `A-Z a-z 0-9 . _ -`. */
  readonly name: string
  /** The fleet's cluster id. The journal belongs to it, so that promises are never asked of another fleet. */
  readonly clusterId: string
  /**
   * Where promises are kept. A path: a directory of this instance's own, on a disk that lasts, the same after each restart. Or
   * `postgresJournal(pool)`, `mysqlJournal(pool)`: a table in the service's own database, which all its instances share.
   */
  readonly journal: string | ServiceJournal<Sql>
  /** Where to say what no call reports, for example a vote to abort. Default: nowhere. */
  readonly logger?: Logger
  /** `prepare` handlers at work at a time, and as many of `commit` and `abort`. Default 32. */
  readonly concurrency?: number
}

/** What an instance takes from its machine; see ParticipantSeams. @internal */
export interface InstanceSeams extends ParticipantSeams {
  readonly journal?: JournalTuning
}

const CONCURRENCY_MAX = 10_000

/**
 * Checks what is common to all instances.
 *
 * @param keys the options that there are
 * @throws InvalidOptionsError, MalformedIdError
 */
export function checkInstanceOptions<Sql>(
  options: InstanceOptions<Sql>,
  keys: readonly string[],
): { readonly keeperOptions: KeeperOptions; readonly logger: Logger } {
  for (const key of Object.keys(options)) {
    if (!keys.includes(key)) {
      throw new InvalidOptionsError(key, `left out: it is unknown; known are ${keys.join(', ')}`, 'set')
    }
  }
  const { name, clusterId, journal, concurrency = KEEPER_DEFAULTS.concurrency, logger = silentLogger } = options
  if (typeof name !== 'string' || !isParticipantName(name)) {
    throw new InvalidOptionsError('name', PARTICIPANT_NAME_RULE, name)
  }
  if (typeof clusterId !== 'string') throw new InvalidOptionsError('clusterId', 'the fleet’s cluster id', clusterId)
  if (!isJournal(journal)) {
    const rule = 'the path of a directory, postgresJournal(pool) or mysqlJournal(pool)'
    throw new InvalidOptionsError('journal', rule, typeof journal === 'string' ? journal : typeof journal)
  }
  for (const handler of ['prepare', 'commit', 'abort'] as const) {
    if (typeof options[handler] !== 'function') throw new InvalidOptionsError(handler, 'a function', options[handler])
  }
  if (!Number.isInteger(concurrency) || concurrency < 1 || concurrency > CONCURRENCY_MAX) {
    throw new InvalidOptionsError('concurrency', `a whole number from 1 to ${CONCURRENCY_MAX}`, concurrency)
  }
  return { keeperOptions: { ...KEEPER_DEFAULTS, concurrency }, logger }
}

/** Opens an instance's journal. @throws what `WalJournal.open` and `SqlJournal.open` throw */
export async function openJournal<Sql>(
  { journal, name, clusterId: cluster, logger = silentLogger }: InstanceOptions<Sql>,
  { endedMax, openMax }: KeeperOptions,
  onFailure: (error: Error) => void,
  seams: InstanceSeams,
): Promise<Journal<unknown>> {
  const clusterId = parseClusterId(cluster)
  const { clock, disk, later, journal: tuning } = seams
  if (typeof journal !== 'string') {
    return (await journal.open({ name, clusterId, clock, logger, openMax })) as Journal<unknown>
  }
  const log = await WalJournal.open({
    directory: isAbsolute(journal) ? journal : resolve(journal),
    clusterId,
    disk,
    clock,
    defer: later,
    random: () => drawId(seams),
    endedMax,
    ...tuning,
    onFailure,
  })
  return new LocalJournal(log) as Journal<unknown>
}

function isJournal(journal: unknown): boolean {
  if (typeof journal === 'string') return journal !== ''
  return typeof (journal as { open?: unknown } | undefined | null)?.open === 'function'
}
