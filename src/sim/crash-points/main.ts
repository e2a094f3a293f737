import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { crashPointTables, PAGE_MARK } from './page.ts'
import { faultOf, simulatedRows } from './rows.ts'

const PAGE = fileURLToPath(new URL('../../../docs/crash-points.md', import.meta.url))

/** `npm run crash-points`: every row in every way, with one seed or several. */
async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', default: '' },
      seed: { type: 'string', default: '1' },
      rounds: { type: 'string', default: '1' },
      json: { type: 'boolean', default: false },
      'write-page': { type: 'boolean', default: false },
    },
  })
  if (values['write-page']) {
    const [head = ''] = readFileSync(PAGE, 'utf8').split(PAGE_MARK)
    writeFileSync(PAGE, `${head}${PAGE_MARK}\n\n${crashPointTables().trim()}\n`)
    return 0
  }
  const rows = simulatedRows().filter(({ point }) => point.includes(values.only))
  const [seed, rounds] = [Number(values.seed), Number(values.rounds)]
  const faults: string[] = []
  let done = 0
  for (let round = 0; round < rounds; round++) {
    for (const row of rows) {
      const fault = await faultOf(row, seed + round)
      if (fault !== undefined) {
        faults.push(fault)
        process.stderr.write(`\r\x1b[K${fault}\n`)
      }
      done += 1
      process.stderr.write(`\r\x1b[K${done} of ${rows.length * rounds}: ${row.point}, ${row.way}`)
    }
  }
  process.stderr.write('\n')
  const report = { points: new Set(rows.map(({ point }) => point)).size, runs: done, failed: faults.length, faults }
  process.stdout.write(
    values.json
      ? `${JSON.stringify(report)}\n`
      : `${report.points} crash points, ${report.runs} runs, ${report.failed} failed\n`,
  )
  return faults.length === 0 && done > 0 ? 0 : 1
}

main().then(
  (code) => {
    process.exitCode = code
  },
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`)
    process.exitCode = 2
  },
)
