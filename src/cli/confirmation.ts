import { stderrColors } from '../terminal/index.ts'
import { askTerminal, isAtTerminal, NotConfirmedError } from './ask-terminal.ts'

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
  if (!isAtTerminal()) return ''
  return await askTerminal(stderrColors.red(`Type the name of the cluster (${cluster}) to go on: `))
}
