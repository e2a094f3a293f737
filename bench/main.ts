import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { benchCatchUp } from './catch-up.ts'
import { benchDeadlocks } from './deadlocks.ts'
import { benchDecisions, benchFive } from './decisions.ts'
import { benchFailover } from './failover.ts'
import { describeMachine } from './lib/machine.ts'
import { writeSection } from './lib/page.ts'
import type { Report, Run } from './lib/report.ts'
import { benchMemory } from './memory.ts'
import { benchRestart } from './restart.ts'
import { benchSim } from './sim.ts'
import { benchTransfer } from './transfer.ts'

const BENCHES: Readonly<Record<string, (run: Run) => Promise<Report>>> = {
  decisions: benchDecisions,
  transfer: benchTransfer,
  deadlocks: benchDeadlocks,
  memory: benchMemory,
  five: benchFive,
  failover: benchFailover,
  'catch-up': benchCatchUp,
  restart: benchRestart,
  sim: benchSim,
}

const USAGE = `npm run bench -- [decisions] [transfer] [deadlocks] [memory] [five] [failover] [catch-up] [restart] [sim] [options]

  --seconds <n>        how long each figure is measured (5)
  --transactions <n>   of the memory and restart benchmarks (1000000)
  --kills <n>          of the failover benchmark (100)
  --json               figures as one line of JSON instead of tables
  --write              put the tables into docs/performance.md
  --profile <dir>      CPU profiles of the measured processes go there

Data lies in the system's temporary directory; set TMPDIR to measure another disk.`

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: 'string', default: '5' },
    transactions: { type: 'string', default: '1000000' },
    kills: { type: 'string', default: '100' },
    json: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
    profile: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
})

const names = positionals.length === 0 ? Object.keys(BENCHES) : positionals
const [seconds, transactions, kills] = [values.seconds, values.transactions, values.kills].map(Number) as [
  number,
  number,
  number,
]
const unknown = names.find((name) => BENCHES[name] === undefined)
const isUsable = unknown === undefined && seconds > 0 && isCount(transactions) && isCount(kills)

if (values.help || !isUsable) {
  console.error(unknown === undefined ? USAGE : `there is no benchmark "${unknown}"\n\n${USAGE}`)
  process.exit(values.help ? 0 : 2)
}

const date = new Date().toISOString().slice(0, 10)
const profile = values.profile === undefined ? undefined : resolve(values.profile)
const all: Record<string, object> = {}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(130))

for (const name of names) {
  const directory = mkdtempSync(join(tmpdir(), 'concordat-bench-'))
  // Also on Ctrl-C.
  const clean = (): void => rmSync(directory, { recursive: true, force: true, maxRetries: 3 })
  process.once('exit', clean)
  const machine = describeMachine(directory)
  try {
    const { text, figures } = await BENCHES[name]!({ seconds, transactions, kills, directory, profile })
    const command = `npm run bench -- ${name} --seconds ${seconds}`
    const section = `Machine: ${machine}. Date: ${date}. Command: \`${command}\`.\n\n${text}`
    all[name] = { machine, command, date, ...figures }
    if (!values.json) console.log(`\n## ${name}\n\n${section}`)
    if (values.write) writeSection(name, section)
  } finally {
    process.off('exit', clean)
    clean()
  }
}
if (values.json) console.log(JSON.stringify(all))

function isCount(value: number): boolean {
  return Number.isInteger(value) && value > 0
}
