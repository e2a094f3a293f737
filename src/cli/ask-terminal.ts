import { createInterface } from 'node:readline/promises'
import { ConcordatError } from '../base/index.ts'

/** A dangerous command was not confirmed. */
export class NotConfirmedError extends ConcordatError {
  readonly code = 'NOT_CONFIRMED'
}

/** Where somebody sits. */
interface Terminal {
  readonly input: NodeJS.ReadableStream
  readonly output: NodeJS.WritableStream
}

/** Whether there is somebody to ask. Questions go to stderr: stdout is for answers. */
export function isAtTerminal(): boolean {
  return process.stdin.isTTY === true && process.stderr.isTTY === true
}

/** Asks one question. @throws NotConfirmedError for Ctrl-C and Ctrl-D */
export async function askTerminal(
  words: string,
  { input, output }: Terminal = { input: process.stdin, output: process.stderr },
): Promise<string> {
  const terminal = createInterface({ input, output, terminal: true })
  try {
    return await terminal.question(words)
  } catch (cause) {
    if ((cause as Error).name !== 'AbortError') throw cause
    output.write('\n')
    throw new NotConfirmedError('not confirmed. Nothing was changed.', { cause })
  } finally {
    terminal.close()
  }
}
