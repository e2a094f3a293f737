import { type Command, Option } from 'commander'
import type { Diagnosis, Finding, Level } from '../doctor/index.ts'
import { stdoutColors } from '../terminal/index.ts'
import { wholeNumber } from './coordinator-option.ts'
import { ExitCode, printJson } from './output.ts'

interface DoctorFlags {
  readonly config: string
  readonly timeout: number
  readonly json?: boolean
  readonly quiet?: boolean
}

const MARKS: Readonly<Record<Level, string>> = { ok: 'ok     ', warning: 'WARNING', error: 'ERROR  ' }
/** Behind the mark. */
const INDENT = ' '.repeat(9)
const WIDTH_DEFAULT = 100

/** `concordat doctor`: what is wrong with a fleet and its databases, and what to do about it. */
export function addDoctorCommand(program: Command): void {
  program
    .command('doctor')
    .description('checks databases, coordinators and this machine, and says what to do; changes nothing')
    .requiredOption('--config <file>', "a coordinator's YAML configuration; run it where that coordinator runs")
    .addOption(
      new Option('--timeout <ms>', 'how long to wait for each coordinator').default(3_000).argParser(wholeNumber),
    )
    .option('--quiet', 'only what is not well')
    .option('--json', 'print one line of JSON for machines')
    .action(async ({ config, timeout, json, quiet }: DoctorFlags) => {
      const [{ diagnose }, { loadConfig }] = await Promise.all([
        import('../doctor/index.ts'),
        import('../server/index.ts'),
      ])
      const diagnosis = await diagnose(loadConfig(config), { timeoutMs: timeout })
      if (json) printJson(diagnosis)
      else print(diagnosis, quiet === true)
      if (!diagnosis.ok) process.exitCode = ExitCode.failed
    })
}

function print({ findings, counts }: Diagnosis, isQuiet: boolean): void {
  const shown = isQuiet ? findings.filter(({ level }) => level !== 'ok') : findings
  let subject: string | undefined
  for (const finding of shown) {
    if (finding.subject !== subject) console.log(stdoutColors.bold(finding.subject))
    subject = finding.subject
    printFinding(finding)
  }
  if (shown.length > 0) console.log('')
  const { ok, warning, error } = counts
  const words = `${ok} ok, ${warning} ${warning === 1 ? 'warning' : 'warnings'}, ${error} ${error === 1 ? 'error' : 'errors'}`
  console.log(
    error > 0 ? stdoutColors.red(words) : warning > 0 ? stdoutColors.yellow(words) : stdoutColors.green(words),
  )
}

function printFinding({ level, what, message, advice }: Finding): void {
  const lines = wrap(`${message} [${what}]`)
  console.log(`${INDENT.slice(7)}${mark(level)} ${lines[0] ?? ''}`)
  for (const line of lines.slice(1)) console.log(`${INDENT} ${line}`)
  if (advice === undefined) return
  const [first, ...rest] = wrap(`→ ${advice}`)
  console.log(`${INDENT} ${stdoutColors.cyan(first ?? '')}`)
  for (const line of rest) console.log(`${INDENT}   ${stdoutColors.cyan(line)}`)
}

function mark(level: Level): string {
  const { red, yellow, dim } = stdoutColors
  const colour = { ok: dim, warning: yellow, error: red }[level]
  return colour(MARKS[level])
}

/** Breaks a text between words, as wide as the terminal is. */
function wrap(text: string): readonly string[] {
  const width = Math.max(40, (process.stdout.columns ?? WIDTH_DEFAULT) - INDENT.length - 4)
  const lines: string[] = []
  for (const word of text.split(/\s+/)) {
    const line = lines.at(-1)
    if (line !== undefined && line.length + 1 + word.length <= width) lines[lines.length - 1] = `${line} ${word}`
    else lines.push(word)
  }
  return lines
}
