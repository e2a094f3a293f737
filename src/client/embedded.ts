import { randomBytes } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { open, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { type ClusterId, parseClusterId, parseNodeId, systemClock, toError } from '../base/index.ts'
import { Coordinator, type CoordinatorPort, coordinatorPort, DeadlockDetector, Resolver } from '../coordinator/index.ts'
import { Replica } from '../replica/index.ts'
import type { Resource } from '../resources/index.ts'
import { nodeDisk } from '../wal/index.ts'
import { InvalidOptionsError } from './errors.ts'
import { type Logger, silentLogger } from './logger.ts'
import { type CommonOptions, checkClusterId, checkCommon } from './options.ts'

/** How to run a coordinator inside this process. */
export interface EmbeddedOptions extends CommonOptions {
  /** Where the decisions are kept; made when it is missing. One process at a time; never share or copy it. */
  readonly dataDir: string
  /**
   * The name that this coordinator's branches carry in the databases. Default: made at random once and kept in `dataDir`. No two
   * coordinators that share a database server may have the same: each would abort the other's branches.
   */
  readonly clusterId?: string
  /** The databases whose branches are settled when an earlier run left them behind. Name all that transactions enlist. */
  readonly resources?: readonly Resource<unknown>[]
}

const CLUSTER_FILE = 'cluster-id'
const LOG_FOLDER = 'log'

/**
 * A group of one: the same log, ledger and resolver as in a fleet, without the network.
 *
 * @throws InvalidOptionsError, and whatever the log refuses (WAL_LOCKED when another process has the directory)
 */
export async function openEmbedded(options: EmbeddedOptions): Promise<CoordinatorPort> {
  const { resources = [], logger = silentLogger } = check(options)
  const clusterId = checkClusterId(options.clusterId) ?? (await ownClusterId(options.dataDir))
  const nodeId = parseNodeId(1)
  let onFatal: (error: Error) => void = () => {}
  const replica = await Replica.open({
    nodeId,
    clusterId,
    members: [{ nodeId, host: '127.0.0.1', port: 0 }],
    directory: join(options.dataDir, LOG_FOLDER),
    disk: nodeDisk,
    clock: systemClock,
    seed: randomSeed(),
    logger,
    onFatal: (error) => onFatal(error),
  })
  const parts = { clusterId, clock: systemClock, logger }
  const coordinator = new Coordinator({ ...parts, log: replica, seed: randomSeed() })
  const resolver = new Resolver({
    ...parts,
    coordinator,
    resources: resources.map(({ name, inDoubt }) => ({ name, port: inDoubt })),
    seed: randomSeed(),
  })
  const deadlocks = new DeadlockDetector({ resources, clock: systemClock, logger })
  const close = async (): Promise<void> => {
    deadlocks.close()
    await resolver.close()
    await coordinator.close()
  }
  onFatal = (error) => {
    logger.error({ err: error }, 'the embedded coordinator can not go on; restart the process')
    // Whoever waits for an answer learns that there is none.
    close().catch((thrown) => logger.error({ err: toError(thrown) }, 'the embedded coordinator did not close'))
  }
  await coordinator.start()
  resolver.start()
  return { ...coordinatorPort(coordinator, systemClock, deadlocks), close }
}

function check(options: EmbeddedOptions): { resources?: readonly Resource<unknown>[]; logger?: Logger } {
  const { logger } = checkCommon(options, ['dataDir', 'clusterId', 'resources'])
  const { dataDir, resources = [] } = options
  if (typeof dataDir !== 'string' || dataDir.length === 0) {
    throw new InvalidOptionsError('dataDir', 'the path of a directory', dataDir)
  }
  if (!Array.isArray(resources)) throw new InvalidOptionsError('resources', 'an array of resources', resources)
  return { resources, logger }
}

/** The directory's own id: read, or made at the first start, durable before the first branch can carry it. */
async function ownClusterId(dataDir: string): Promise<ClusterId> {
  mkdirSync(dataDir, { recursive: true })
  const path = join(dataDir, CLUSTER_FILE)
  const kept = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  if (kept !== undefined) return parseClusterId(kept.trim())
  const made = parseClusterId(`e${randomBytes(6).toString('hex').slice(0, 11)}`)
  await writeDurably(dataDir, path, made)
  return made
}

async function writeDurably(folder: string, path: string, text: string): Promise<void> {
  const unfinished = `${path}.new`
  const file = await open(unfinished, 'w')
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(unfinished, path)
  const directory = await open(folder, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

function randomSeed(): number {
  return randomBytes(4).readUInt32BE()
}
