import { toError } from '../base/index.ts'
import { type AskOptions, askStatus, type NodeStatus, type ServerConfig } from '../server/index.ts'

/** What came of asking one coordinator. */
export interface CoordinatorAnswer {
  readonly address: string
  readonly status: NodeStatus | undefined
  /** Why it did not answer. */
  readonly error: string | undefined
  /** This machine's clock when it was asked and when it had answered. */
  readonly askedMs: number
  readonly answeredMs: number
}

/** Asks the members of the configuration, and then those that they call members: the file is only read at a fleet's first start. */
export async function askCoordinators(
  config: ServerConfig,
  options: AskOptions,
): Promise<readonly CoordinatorAnswer[]> {
  const first = await Promise.all(config.members.map(({ address }) => askOne(address, options)))
  const asked = new Set(first.map(({ address }) => address))
  const heardOf = new Set(first.flatMap(({ status }) => membersOf(status)))
  const rest = [...heardOf].filter((address) => address !== '' && !asked.has(address))
  return [...first, ...(await Promise.all(rest.map((address) => askOne(address, options))))]
}

function membersOf(status: NodeStatus | undefined): readonly string[] {
  // What a removed node says of the others is of the past.
  return status === undefined || status.removed ? [] : status.members.map(({ address }) => address)
}

async function askOne(address: string, options: AskOptions): Promise<CoordinatorAnswer> {
  const askedMs = Date.now()
  try {
    const status = await askStatus(address, options)
    return { address, status, error: undefined, askedMs, answeredMs: Date.now() }
  } catch (error) {
    return { address, status: undefined, error: toError(error).message, askedMs, answeredMs: Date.now() }
  }
}
