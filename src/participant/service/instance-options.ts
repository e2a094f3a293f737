import { isAbsolute, resolve } from 'node:path'
import { isParticipantName, PARTICIPANT_NAME_RULE, parseClusterId, systemClock } from '../../base/index.ts'
import { InvalidOptionsError, type Logger } from '../../client/index.ts'
import { silentLogger } from '../../coordinator/index.ts'
import { nodeDisk } from '../../wal/index.ts'
import type { ServiceHandlers } from './handlers.ts'
import { KEEPER_DEFAULTS, type KeeperOptions } from './options.ts'
import { WalJournal } from './wal-journal.ts'

/** What every instance of a service is told, however the coordinators reach it. */
export interface InstanceOptions extends ServiceHandlers {
  /** The service's name, the same for all its instances: applications enlist it by this. 1 to 64 characters of `A-Z a-z 0-9 . _ -`. */
  readonly name: string
  /** The fleet's cluster id. The journal belongs to it, so that promises are never asked of another fleet. */
  readonly clusterId: string
  /** A directory for this instance's promises: of its own, on a disk that lasts, the same after each restart. */
  readonly journal: string
  /** Where to say what no call reports, for example a vote to abort. Default: nowhere. */
  readonly logger?: Logger
  /** `prepare` handlers at work at a time, and as many of `commit` and `abort`. Default 32. */
  readonly concurrency?: number
}

const CONCURRENCY_MAX = 10_000

/**
 * Checks what is common to all instances.
 *
 * @param keys the options that there are
 * @throws InvalidOptionsError, MalformedIdError
 */
export function checkInstanceOptions(
  options: InstanceOptions,
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
  if (typeof journal !== 'string' || journal === '') {
    throw new InvalidOptionsError('journal', 'the path of a directory', journal)
  }
  for (const handler of ['prepare', 'commit', 'abort'] as const) {
    if (typeof options[handler] !== 'function') throw new InvalidOptionsError(handler, 'a function', options[handler])
  }
  if (!Number.isInteger(concurrency) || concurrency < 1 || concurrency > CONCURRENCY_MAX) {
    throw new InvalidOptionsError('concurrency', `a whole number from 1 to ${CONCURRENCY_MAX}`, concurrency)
  }
  return { keeperOptions: { ...KEEPER_DEFAULTS, concurrency }, logger }
}

/** Opens an instance's journal. @throws what `WalJournal.open` throws */
export function openJournal(
  { journal, clusterId }: InstanceOptions,
  { endedMax }: KeeperOptions,
  onFailure: (error: Error) => void,
): Promise<WalJournal> {
  return WalJournal.open({
    directory: isAbsolute(journal) ? journal : resolve(journal),
    clusterId: parseClusterId(clusterId),
    disk: nodeDisk,
    clock: systemClock,
    endedMax,
    rewriteRecords: 20_000,
    onFailure,
  })
}
