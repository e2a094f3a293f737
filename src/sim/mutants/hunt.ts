import { type ChildProcess, spawn } from 'node:child_process'
import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { applyEdit, type Mutant } from './mutant.ts'

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
}

/** What `npm run sim -- --json` prints, as far as it matters here. */
interface CampaignReport {
  readonly runs: number
  readonly failures: readonly { readonly seed: number; readonly check: string; readonly what: string }[]
}

const COPIED = ['src', 'package.json', 'tsconfig.json'] as const

/** A copy of the sources in which one mutant after the other is let loose. */
export class HuntingGround {
  readonly #root: string
  readonly #directory: string
  #child: ChildProcess | undefined

  /** @param directory empty; whoever made it removes it */
  constructor(root: string, directory: string) {
    this.#root = root
    this.#directory = directory
    for (const name of COPIED) cpSync(join(root, name), join(directory, name), { recursive: true })
    symlinkSync(join(root, 'node_modules'), join(directory, 'node_modules'))
  }

  /** Simulates one seed after the other until one fails, or `minutes` are over. */
  async hunt(mutant: Mutant, minutes: number): Promise<Hunt> {
    const files = [...new Set(mutant.edits.map(({ file }) => file))]
    try {
      for (const edit of mutant.edits) {
        const path = join(this.#directory, edit.file)
        writeFileSync(path, applyEdit(readFileSync(path, 'utf8'), edit))
      }
      const begun = performance.now()
      const report = await this.#campaign(minutes)
      const seconds = (performance.now() - begun) / 1000
      const [first] = report.failures
      return {
        mutant,
        check: first?.check,
        what: first?.what.split('\n')[0] ?? '',
        seed: first?.seed,
        seeds: report.runs,
        seconds,
      }
    } finally {
      for (const file of files) cpSync(join(this.#root, file), join(this.#directory, file))
    }
  }

  /** Ends the campaign under way. */
  stop(): void {
    this.#child?.kill('SIGKILL')
  }

  #campaign(minutes: number): Promise<CampaignReport> {
    const flags = ['--minutes', String(minutes), '--jobs', '1', '--failures', '1', '--no-shrink', '--json']
    const main = join(this.#directory, 'src/sim/cli/main.ts')
    const child = spawn(process.execPath, ['--import', 'tsx', main, ...flags], {
      cwd: this.#directory,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#child = child
    let output = ''
    let errors = ''
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => (output += chunk))
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => (errors += chunk))
    return new Promise((resolve, reject) => {
      child.once('error', reject)
      child.once('close', (code) => {
        // 3: too weak a campaign; a mutant may well keep a rare branch from being reached.
        if (code === 0 || code === 1 || code === 3) resolve(JSON.parse(output) as CampaignReport)
        else reject(new Error(`the simulator ended with ${code}: ${errors.trim().slice(-2000)}`))
      })
    })
  }
}
