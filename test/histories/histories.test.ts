import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { checkHistory, ednLines, readEdnHistory, verdictText } from '../../src/history/index.ts'
import { type Run, type RunOptions, runWorkload } from './run.ts'

/** Quick when the machine is; a busy one goes on until enough has happened to prove something. */
const APPENDS_MIN = 100
const TIMEOUT_MS = 150_000

function run(options: Omit<RunOptions, 'directory'>): Promise<Run> {
  const directory = mkdtempSync(join(tmpdir(), 'cdt-histories-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true, maxRetries: 3 }))
  return runWorkload({ directory, appendsMin: APPENDS_MIN, ...options })
}

function brokenBy(fault: string): readonly string[] {
  const preload = new URL('./broken-participant.mjs', import.meta.url)
  preload.search = `fault=${fault}`
  return ['--import', preload.href]
}

test(
  'P1, P4, P8: what clients see of two participants while everything is killed is strictly serializable',
  async () => {
    const seed = Math.floor(Math.random() * 2 ** 31)
    const { history, kills } = await run({ seconds: 2, seed, killEveryMs: 250 })
    const verdict = checkHistory(history)
    const context = `seed ${seed}, ${JSON.stringify(kills)}, ${verdictText(verdict)}`
    expect(verdict.valid, context).toBe(true)
    // Everything was read in the end, so nothing that was acknowledged can be missing unnoticed.
    expect(verdict.size.appendsUnobserved, context).toBe(0)
    expect(verdict.size.appends, context).toBeGreaterThanOrEqual(APPENDS_MIN)
    expect(verdict.size.reads, context).toBeGreaterThan(APPENDS_MIN)
    expect(Math.min(...Object.values(kills)), context).toBeGreaterThan(0)
    // Every failure is one of ours: nobody is left with a riddle.
    const errors = history.flatMap((event) => (event.kind === 'client' && event.error ? [event.error] : []))
    expect(errors.filter((error) => error.startsWith('unexpected'))).toEqual([])
    expect(readEdnHistory([...ednLines(history)].join(''))).toEqual(history)
  },
  TIMEOUT_MS,
)

test(
  'a participant whose reads take no locks is found out',
  async () => {
    const options = { seconds: 1, seed: 1, killEveryMs: undefined, participantFlags: brokenBy('readsTakeNoLocks') }
    const { counts, valid } = checkHistory((await run(options)).history)
    expect(valid).toBe(false)
    expect(Object.keys(counts).join()).toMatch(/G-single|G2-item|incompatible-order|lost-append/)
  },
  TIMEOUT_MS,
)
