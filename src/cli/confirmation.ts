import { createInterface } from 'node:readline/promises'
import { ConcordatError } from '../base/index.ts'
import { stderrColors } from '../terminal/index.ts'

/** A dangerous command was not confirmed. */
class NotConfirmedError extends ConcordatError {
  readonly code = 'NOT_CONFIRMED'
}

/**
 * Has the operator type the cluster's name: nobody does that by habit, or in the wrong terminal.
 *
 * @param given what a flag gave instead, for scripts
 * @throws NotConfirmedError
 */
export async function confirmCluster(cluster: string, given: string | undefined, flag: string): Promise<void> {
  const typed = given ?? (await ask(cluster))
  if (typed.trim() === cluster) return
  if (typed.trim() === '')
    throw new NotConfirmedError(`not confirmed; in a script give ${flag} ${cluster}. Nothing was changed.`)
  throw new NotConfirmedError(
    `${JSON.stringify(typed)} is not the name of this cluster (${cluster}). Nothing was changed.`,
  )
}

async function ask(cluster: string): Promise<string> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) return ''
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  try {
    return await terminal.question(stderrColors.red(`Type the name of the cluster (${cluster}) to go on: `))
  } finally {
    terminal.close()
  }
}
