import { JOINED_RESOURCE_CHARACTERS_MAX, parseClusterId } from '../../base/index.ts'
import { type ConcordatOptions, InvalidOptionsError, type Logger } from '../../client/index.ts'
import type { Resource } from '../../resources/index.ts'

/** How a service joins the transactions of those who call it. */
export interface JoiningOptions {
  /** `host:port` of some or all coordinators, as an array or with commas between. The rest is learned from them. */
  readonly coordinators: ConcordatOptions['coordinators']
  /** The fleet's cluster id. Calls inside transactions of another fleet are refused. */
  readonly clusterId: string
  /**
   * The databases in which handlers may enlist branches, 1 to 16. Their names have at most 44 characters of `A-Z a-z 0-9 . _ -`, and are
   * those of the coordinators' configuration: the resolver finishes what this process leaves behind.
   */
  readonly resources: readonly Resource<unknown>[]
  /** Speak TLS with the coordinators; with `key` and `cert` it is mutual. */
  readonly tls?: ConcordatOptions['tls']
  /** A caller's transaction holds sessions and locks here for so long at most, milliseconds, 1 to 86,400,000. Default 60,000. */
  readonly timeoutMaxMs?: number
  /** Joined calls at a time, 1 to 100,000; each may hold a session of a pool. The next is refused with JOIN_BUSY. Default 1,000. */
  readonly openMax?: number
  /** How long `close()` waits for joined calls before it gives them up, milliseconds. Default 10,000. */
  readonly closeTimeoutMs?: number
  /** Where to say what no call reports, for example a joined call that nobody reported. Default: nowhere. */
  readonly logger?: Logger
}

/** Every default of joining. Times are milliseconds. */
export const JOINING_DEFAULTS = {
  timeoutMaxMs: 60_000,
  openMax: 1_000,
  closeTimeoutMs: 10_000,
  /** A vote may be asked for that long after the transaction's time: the commit request may come at its very end. */
  slackMs: 6_000,
  /** How often branches are looked through for some to ask about. */
  scanMs: 250,
  /** A joined branch asks for its transaction's outcome after this time, then ever less often … */
  joinedAskMs: 1_000,
  /** … and one that voted after this. */
  askMs: 1_000,
  askMaxMs: 5_000,
  /** The coordinators' time for an answer. */
  answerMs: 5_000,
} as const

const KEYS = ['coordinators', 'clusterId', 'resources', 'tls', 'timeoutMaxMs', 'openMax', 'closeTimeoutMs', 'logger']
const RESOURCES_MAX = 16
const RESOURCE_NAME = /^[A-Za-z0-9._-]+$/

/** @throws InvalidOptionsError, MalformedIdError */
export function checkJoiningOptions(
  options: JoiningOptions,
): Required<Pick<JoiningOptions, 'timeoutMaxMs' | 'openMax' | 'closeTimeoutMs'>> {
  for (const key of Object.keys(options)) {
    if (!KEYS.includes(key)) {
      throw new InvalidOptionsError(key, `left out: it is unknown; known are ${KEYS.join(', ')}`, 'set')
    }
  }
  if (typeof options.clusterId !== 'string') {
    throw new InvalidOptionsError('clusterId', 'the fleet’s cluster id', options.clusterId)
  }
  parseClusterId(options.clusterId)
  checkResources(options.resources)
  return {
    timeoutMaxMs: whole('timeoutMaxMs', options.timeoutMaxMs, JOINING_DEFAULTS.timeoutMaxMs, 86_400_000),
    openMax: whole('openMax', options.openMax, JOINING_DEFAULTS.openMax, 100_000),
    closeTimeoutMs: whole('closeTimeoutMs', options.closeTimeoutMs, JOINING_DEFAULTS.closeTimeoutMs, 86_400_000),
  }
}

function checkResources(resources: unknown): void {
  if (!Array.isArray(resources) || resources.length === 0 || resources.length > RESOURCES_MAX) {
    throw new InvalidOptionsError('resources', `an array of 1 to ${RESOURCES_MAX} databases`, resources)
  }
  const names = new Set<unknown>()
  for (const [index, resource] of resources.entries()) {
    const name: unknown = (resource as Partial<Resource<unknown>> | null)?.name
    const isName = typeof name === 'string' && name.length <= JOINED_RESOURCE_CHARACTERS_MAX && RESOURCE_NAME.test(name)
    if (!isName || names.has(name)) {
      const rule = `a database whose name is its own and has 1 to ${JOINED_RESOURCE_CHARACTERS_MAX} characters of A-Z a-z 0-9 . _ -`
      throw new InvalidOptionsError(`resources[${index}]`, rule, name ?? resource)
    }
    names.add(name)
  }
}

function whole(key: string, value: number | undefined, standard: number, most: number): number {
  if (value === undefined) return standard
  if (Number.isInteger(value) && value >= 1 && value <= most) return value
  throw new InvalidOptionsError(key, `a whole number from 1 to ${most}`, value)
}
