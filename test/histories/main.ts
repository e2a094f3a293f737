import { createWriteStream, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { parseArgs } from 'node:util'
import {
  checkHistory,
  ednLines,
  type History,
  MalformedHistoryError,
  porcupineLines,
  readEdnHistory,
  verdictJson,
  verdictText,
} from '../../src/history/index.ts'
import { root } from '../support/program.support.ts'
import { runWorkload } from './run.ts'

const USAGE = `npm run histories -- [--seconds N] [--seed N] [--out DIR] [--kill-every MS] [--no-kills] [--keep] [--fault NAME]
npm run histories -- --check FILE.edn

Runs list-append transactions over two key-value participants and three coordinators while all of them, and the
applications, are killed; writes down what the applications saw, and says whether it is strictly serializable.

  --seconds N     how long the load runs (60)
  --seed N        of the transactions and kills (1). It does not replay a run: processes are never the same twice
  --out DIR       where history.edn, history.porcupine.jsonl and verdict.json go (.tmp/histories)
  --kill-every MS the mean time between two kills (1000)
  --no-kills      nobody is killed
  --keep          keep the processes' data, logs and journals, in DIR/processes
  --fault NAME    break the participants: readsTakeNoLocks, locksAreLostAtRestart, effectsAreLostAtRestart
  --check FILE    check a list-append history in Jepsen's EDN form instead

Exit code: 0 strictly serializable, 1 not, 2 no verdict.`

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: '1' },
    out: { type: 'string', default: join(root, '.tmp/histories') },
    'kill-every': { type: 'string', default: '1000' },
    'no-kills': { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
    fault: { type: 'string' },
    check: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
})

function count(name: 'seconds' | 'seed' | 'kill-every'): number {
  const number = Number(values[name])
  if (!Number.isSafeInteger(number) || number < 1)
    throw new Error(`--${name} must be a whole number from 1\n\n${USAGE}`)
  return number
}

/** Prints the verdict. @returns the exit code */
function judge(history: History, out: string | undefined, more: object): number {
  const begunMs = performance.now()
  const verdict = checkHistory(history)
  const tookMs = Math.round(performance.now() - begunMs)
  console.log(`${verdictText(verdict)}\n(checked in ${tookMs} ms)`)
  if (out !== undefined)
    writeFileSync(join(out, 'verdict.json'), `${JSON.stringify({ ...verdictJson(verdict), ...more }, undefined, 2)}\n`)
  return verdict.valid ? 0 : 1
}

async function record(): Promise<number> {
  const [seconds, seed, killEveryMs] = [count('seconds'), count('seed'), count('kill-every')]
  const out = resolve(values.out)
  const directory = join(out, 'processes')
  rmSync(directory, { recursive: true, force: true })
  mkdirSync(directory, { recursive: true })
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => stop.abort())
  const preload = new URL('./broken-participant.mjs', import.meta.url)
  preload.search = `fault=${values.fault}`
  const begunMs = performance.now()
  const { history, kills, generations } = await runWorkload({
    directory,
    seconds,
    seed,
    killEveryMs: values['no-kills'] ? undefined : killEveryMs,
    participantFlags: values.fault === undefined ? [] : ['--import', preload.href],
    onProgress: (line) => console.log(`${((performance.now() - begunMs) / 1_000).toFixed(1).padStart(6)} s  ${line}`),
    signal: stop.signal,
  })
  await pipeline(Readable.from(ednLines(history)), createWriteStream(join(out, 'history.edn')))
  await pipeline(Readable.from(porcupineLines(history)), createWriteStream(join(out, 'history.porcupine.jsonl')))
  if (!values.keep) rmSync(directory, { recursive: true, force: true, maxRetries: 3 })
  const code = judge(history, out, { run: { seconds, seed, kills, generations, ends: endsOf(history) } })
  console.log(`kills: ${JSON.stringify(kills)}. Written to ${out}: history.edn, history.porcupine.jsonl, verdict.json`)
  return code
}

/** How often transactions ended in which way, the most frequent first. */
function endsOf(history: History): Record<string, number> {
  const ends = new Map<string, number>()
  for (const event of history) {
    if (event.kind === 'fault' || event.type === 'invoke') continue
    const end = event.error === undefined ? event.type : `${event.type}: ${event.error}`
    ends.set(end, (ends.get(end) ?? 0) + 1)
  }
  return Object.fromEntries([...ends].sort(([, a], [, b]) => b - a))
}

async function main(): Promise<number> {
  if (values.help) {
    console.log(USAGE)
    return 0
  }
  if (values.check === undefined) return record()
  return judge(readEdnHistory(readFileSync(values.check, 'utf8')), undefined, {})
}

main().then(
  (code) => {
    process.exitCode = code
  },
  (error: unknown) => {
    console.error(error instanceof MalformedHistoryError ? error.message : error)
    process.exitCode = 2
  },
)
