import { CommanderError } from 'commander'
import { ConcordatError, toError } from '../base/index.ts'
import { AdminRefusedError } from '../server/asking/index.ts'
import { stderrColors, stdoutColors } from '../terminal/index.ts'

/** Exit codes, documented in docs/reference/cli.md. */
export const ExitCode = {
  ok: 0,
  /** The command ran and the answer is bad: a promise broken, a transaction not found. */
  failed: 1,
  /** The call itself is wrong: unknown flag, bad configuration. */
  usage: 2,
  /** No coordinator could be asked. */
  unavailable: 3,
} as const

/** Prints a value for machines: one line of JSON. */
export function printJson(value: unknown): void {
  console.log(JSON.stringify(value))
}

/** Prints rows under their heads, each column as wide as its widest cell. */
export function printTable(heads: readonly string[], rows: readonly (readonly string[])[]): void {
  const widths = heads.map((head, column) => Math.max(head.length, ...rows.map((row) => row[column]?.length ?? 0)))
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd()
  console.log(stdoutColors.bold(line(heads)))
  for (const row of rows) console.log(line(row))
}

/** What a machine gets when a command with `--json` fails: the last line of stdout. */
export function printJsonError(error: unknown): void {
  printJson({ error: plainError(error) })
}

function plainError(error: unknown): object {
  const { message } = toError(error)
  if (error instanceof CommanderError) return { code: 'CALL_INVALID', message, retryable: false }
  if (!(error instanceof ConcordatError)) return { code: 'INTERNAL', message, retryable: false }
  const { code, retryable } = error
  return { code, ...(error instanceof AdminRefusedError && { refusal: error.refusal }), message, retryable }
}

/** Says on stderr what went wrong. Our own errors are sentences already; others keep their stack for a bug report. */
export function printError(error: unknown): void {
  if (error instanceof ConcordatError)
    console.error(`${stderrColors.red('concordat:')} ${error.message} ${stderrColors.dim(`[${codeOf(error)}]`)}`)
  else console.error(stderrColors.red('concordat:'), error instanceof Error ? (error.stack ?? error.message) : error)
}

/** What to look for in the list of errors: of a refusal, the coordinator's own code. */
function codeOf(error: ConcordatError): string {
  return error instanceof AdminRefusedError ? `${error.code}: ${error.refusal}` : error.code
}

/** A duration as people read it. */
export function describeMs(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`
  if (ms < 60_000) return `${Math.round(ms / 100) / 10} s`
  if (ms < 3_600_000) return `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1_000)} s`
  return `${Math.floor(ms / 3_600_000)} h ${Math.round((ms % 3_600_000) / 60_000)} min`
}

/** A size as people read it. */
export function describeBytes(bytes: number): string {
  if (bytes < 1e6) return `${Math.round(bytes / 1e3)} kB`
  if (bytes < 1e9) return `${Math.round(bytes / 1e5) / 10} MB`
  return `${Math.round(bytes / 1e8) / 10} GB`
}
