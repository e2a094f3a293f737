import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { armFailpoints, type FailpointHit } from '../base/index.ts'

/** Names the file that orders a process to die; only tests set it. */
const FILE_VARIABLE = 'CONCORDAT_FAILPOINT_FILE'
/** Without it the first one is refused: nobody sets both by accident. */
const CONSENT_VARIABLE = 'CONCORDAT_FAILPOINT_CONSENT'
const CONSENT = 'this-process-may-die'

/** What an armed process does at the point that it was ordered to die at. */
export type LastAct = (hit: FailpointHit, order: readonly string[]) => void

/**
 * Lets a test end this process at a crash point (docs/crash-points.md). The file that the environment names holds the name
 * of a point; of all processes that are told of this file the first that comes there renames it to `….taken`, writes into it
 * who it is and which transaction it was at, and dies by SIGKILL: nothing is flushed, no handler runs.
 *
 * Without the consent in a second variable nothing is armed. Either way it is said loudly.
 *
 * @param warn writes a line of the process's log
 * @param act what to do instead of dying; it gets the words of the file
 */
export function armFromEnvironment(
  env: NodeJS.ProcessEnv,
  warn: (message: string) => void,
  act: LastAct = () => process.kill(process.pid, 'SIGKILL'),
): void {
  const file = env[FILE_VARIABLE]
  if (file === undefined || file === '') return
  if (env[CONSENT_VARIABLE] !== CONSENT) {
    warn(
      `${FILE_VARIABLE} is set, which is only for tests of crashes; it is ignored because ${CONSENT_VARIABLE} is not ${CONSENT}; remove it from this process’s environment`,
    )
    return
  }
  warn(`${FILE_VARIABLE} is set with consent: this process kills itself at the crash point that ${file} names`)
  armFailpoints((hit) => {
    const order = orderIn(file)
    if (order[0] === hit.name && isTaken(file, hit)) act(hit, order)
  })
}

/** The words of the order; none when there is no order now. */
function orderIn(file: string): readonly string[] {
  try {
    return readFileSync(file, 'utf8').trim().split(/\s+/)
  } catch {
    return []
  }
}

/** False: another process was faster, and dies in our place. */
function isTaken(file: string, { name, txid, place }: FailpointHit): boolean {
  const taken = `${file}.taken`
  try {
    renameSync(file, taken)
  } catch {
    return false
  }
  writeFileSync(taken, `${JSON.stringify({ name, txid, place, pid: process.pid })}\n`)
  return true
}
