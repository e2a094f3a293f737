import type { ServerLogger } from '../../server/index.ts'
import type { Process } from '../kernel/process.ts'
import type { SimWorld } from '../kernel/world.ts'

/** Lines by whose beginnings a campaign knows that it met what is rare. */
const MARKS: Readonly<Record<string, string>> = {
  'took a snapshot': 'snapshot taken',
  'a snapshot was sent': 'snapshot sent',
  'the ledger was restored from a snapshot': 'ledger restored from a snapshot',
  'this node lost a part of what it promised': 'came back in doubt',
}

/** What coordinators log becomes a part of the story. A dead one says nothing. */
export function nodeLogger(world: SimWorld, process: Process): ServerLogger {
  const say = (_details: object, message: string): void => {
    if (!process.alive) return
    world.note(process.name, message)
    for (const [beginning, mark] of Object.entries(MARKS)) if (message.startsWith(beginning)) world.mark(mark)
  }
  return { debug: () => {}, info: say, warn: say, error: say }
}
