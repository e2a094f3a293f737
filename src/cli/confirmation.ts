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

/**
 * Has the operator type what is about to happen.
 *
 * @param yes a flag said so already, for scripts
 * @throws NotConfirmedError; without a terminal and without the flag as well
 */
export async function confirmWords(words: string, yes: boolean): Promise<void> {
  if (yes) return
  if (!isAtTerminal())
    throw new NotConfirmedError('there is no terminal to ask at; in a script give --yes. Nothing was changed.')
  const typed = await askTerminal(stderrColors.red(`Type "${words}" to go on: `))
  if (typed.trim() === words) return
  throw new NotConfirmedError(`${JSON.stringify(typed)} is not "${words}". Nothing was changed.`)
}

async function ask(cluster: string): Promise<string> {
  if (!isAtTerminal()) return ''
  return await askTerminal(stderrColors.red(`Type the name of the cluster (${cluster}) to go on: `))
}
