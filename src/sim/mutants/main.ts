import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { type Hunt, HuntingGround } from './hunt.ts'
import { MUTANTS } from './index.ts'

const HELP = `Lets known mistakes loose in a copy of the sources, one at a time, and says how soon the simulator finds each.

  npm run sim:mutants                       all of them
  npm run sim:mutants -- NAME NAME …        these
  npm run sim:mutants -- --list             their names and what is wrong with them

  --minutes M    how long to look for each (10)     --jobs J    so many at once (one a core)
  --json         one line for programs

Exit codes: 0 all were found, 1 one was not, 2 wrong use.`

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    minutes: { type: 'string', default: '10' },
    jobs: { type: 'string', default: String(availableParallelism()) },
    json: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
})

const unknown = positionals.filter((name) => !MUTANTS.some((mutant) => mutant.name === name))
const [minutes, jobs] = [Number(values.minutes), Number(values.jobs)]
if (values.help || unknown.length > 0 || !(minutes > 0) || !Number.isInteger(jobs) || jobs < 1) {
  if (unknown.length > 0) console.error(`there is no mutant ${unknown.join(', ')}; --list names them all\n`)
  console.error(HELP)
  process.exit(values.help ? 0 : 2)
}
if (values.list) {
  for (const { name, mistake } of MUTANTS) console.log(`${name.padEnd(nameWidth())} ${mistake}`)
  process.exit(0)
}

const root = fileURLToPath(new URL('../../..', import.meta.url))
const directory = mkdtempSync(join(tmpdir(), 'concordat-mutants-'))
const grounds: HuntingGround[] = []
process.once('exit', () => {
  for (const ground of grounds) ground.stop()
  rmSync(directory, { recursive: true, force: true })
})
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(130))

const waiting = MUTANTS.filter(({ name }) => positionals.length === 0 || positionals.includes(name))
const count = waiting.length
const hunts: Hunt[] = []
await Promise.all(
  Array.from({ length: Math.min(jobs, count) }, async (_, index) => {
    const place = join(directory, String(index))
    mkdirSync(place)
    const ground = new HuntingGround(root, place)
    grounds.push(ground)
    for (let mutant = waiting.shift(); mutant !== undefined; mutant = waiting.shift()) {
      const hunt = await ground.hunt(mutant, minutes)
      hunts.push(hunt)
      if (!values.json) console.log(lineOf(hunt))
    }
  }),
)
const missed = hunts.filter(({ check }) => check === undefined)
if (values.json) console.log(JSON.stringify({ minutes, hunts: hunts.map(jsonOf) }))
else console.log(`\n${count - missed.length} of ${count} mutants were found`)
process.exitCode = missed.length === 0 ? 0 : 1

function nameWidth(): number {
  return Math.max(...MUTANTS.map(({ name }) => name.length))
}

function lineOf({ mutant, check, seeds, seconds, what, broken }: Hunt): string {
  const effort = `${seeds} seeds, ${seconds.toFixed(1)} s`
  const outcome = check === undefined ? `NOT FOUND after ${effort}` : `${effort}: ${check}: ${what.slice(0, 100)}`
  const note = broken.length === 0 ? '' : ` (fails without the mutant too: ${broken.join(', ')})`
  return `${mutant.name.padEnd(nameWidth())}  ${outcome}${note}`
}

function jsonOf({ mutant, ...hunt }: Hunt): object {
  return { name: mutant.name, mistake: mutant.mistake, ...hunt }
}
