import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { applyEdit, MUTANTS, type Mutant } from './index.ts'

/** What became of one mutant. */
export interface Hunt {
  readonly mutant: Mutant
  /** The check that failed; undefined when nothing was found in the time given. */
  readonly check: string | undefined
  readonly what: string
  readonly seed: number | undefined
  /** Runs until it was found. */
  readonly seeds: number
  readonly seconds: number
  /** Seeds that fail without the mutant as well. */
  readonly broken: readonly number[]
}

interface Failure {
  readonly seed: number
  readonly check: string
  readonly what: string
}

/** What `npm run sim -- --json` prints, as far as it matters here. */
interface CampaignReport {
  readonly runs: number
  readonly failures: readonly Failure[]
}

const COPIED = ['src', 'package.json', 'tsconfig.json'] as const

/** A copy of the sources in which one mutant after the other is let loose. */
export class HuntingGround {
  readonly #directory: string
  /** The unchanged sources, as they were when the copy was made: the repository may change meanwhile. */
  readonly #sources = new Map<string, string>()
  #child: ChildProcess | undefined

  /** @param directory empty; whoever made it removes it */
  constructor(root: string, directory: string) {
    this.#directory = directory
    for (const name of COPIED) cpSync(join(root, name), join(directory, name), { recursive: true })
    for (const { edits } of MUTANTS) {
      for (const { file } of edits) this.#sources.set(file, readFileSync(join(directory, file), 'utf8'))
    }
    symlinkSync(join(root, 'node_modules'), join(directory, 'node_modules'))
  }

  /**
   * Simulates one seed after the other until one fails that holds without the mutant, or `minutes` are over. A seed that
   * fails anyway is no find: it is a bug of the program or of the simulator, and is named in `broken`.
   */
  async hunt(mutant: Mutant, minutes: number): Promise<Hunt> {
    const begun = performance.now()
    const spentMinutes = (): number => (performance.now() - begun) / 60_000
    const broken: number[] = []
    let seeds = 0
    let from = 1
    let found: Failure | undefined
    while (found === undefined && spentMinutes() < minutes) {
      this.#change(mutant)
      const { runs, failures } = await this.#campaign(mutant, from, minutes - spentMinutes()).finally(() =>
        this.#restore(mutant),
      )
      seeds += runs
      const [first] = failures
      if (first === undefined) break
      if (await this.#fails(mutant, first.seed)) broken.push(first.seed)
      else found = first
      from += runs
    }
    const what = found?.what.split('\n')[0] ?? ''
    return { mutant, check: found?.check, what, seed: found?.seed, seeds, seconds: spentMinutes() * 60, broken }
  }

  /** Ends the campaign under way. */
  stop(): void {
    this.#child?.kill('SIGKILL')
  }

  #change(mutant: Mutant): void {
    for (const edit of mutant.edits) {
      const path = join(this.#directory, edit.file)
      writeFileSync(path, applyEdit(readFileSync(path, 'utf8'), edit))
    }
  }

  #restore({ edits }: Mutant): void {
    for (const { file } of edits) writeFileSync(join(this.#directory, file), this.#sources.get(file)!)
  }

  async #campaign({ profile = 'databases' }: Mutant, from: number, minutes: number): Promise<CampaignReport> {
    const limits = [
      '--profile',
      profile,
      '--from',
      String(from),
      '--minutes',
      String(minutes),
      '--jobs',
      '1',
      '--failures',
      '1',
    ]
    const { code, output, errors } = await this.#simulate([...limits, '--no-shrink', '--json'])
    // 3: too weak a campaign; a mutant may well keep a rare branch from being reached.
    if (code === 0 || code === 1 || code === 3) return JSON.parse(output) as CampaignReport
    throw new Error(`the simulator ended with ${code}: ${errors.trim().slice(-2000)}`)
  }

  async #fails({ profile = 'databases' }: Mutant, seed: number): Promise<boolean> {
    const { code } = await this.#simulate([
      '--profile',
      profile,
      '--from',
      String(seed),
      '--seeds',
      '1',
      '--jobs',
      '1',
      '--no-shrink',
      '--json',
    ])
    return code === 1
  }

  async #simulate(flags: readonly string[]): Promise<{ code: number | null; output: string; errors: string }> {
    const main = join(this.#directory, 'src/sim/cli/main.ts')
    const child = spawn(process.execPath, ['--import', 'ts-blank-space/register', main, ...flags], {
      cwd: this.#directory,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#child = child
    let output = ''
    let errors = ''
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk
    })
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      errors += chunk
    })
    const [code] = (await once(child, 'close')) as [number | null]
    return { code, output, errors }
  }
}
