import type { ServerLogger } from '../../server/index.ts'
import type { Process } from '../kernel/process.ts'
import type { SimWorld } from '../kernel/world.ts'

/** What coordinators log becomes a part of the story. A dead one says nothing. */
export function nodeLogger(world: SimWorld, process: Process): ServerLogger {
  const say = (_details: object, message: string): void => {
    if (process.alive) world.note(process.name, message)
  }
  return { debug: () => {}, info: say, warn: say, error: say }
}
