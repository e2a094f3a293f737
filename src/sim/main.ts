import { planOf } from './faults/plan.ts'
import { simulate } from './run/simulation.ts'

const at = process.argv.indexOf('--seed')
const seed = Number(process.argv[at + 1])
const n = Number(process.argv[process.argv.indexOf('--seeds') + 1])
if (at > 0) {
  const report = await simulate(planOf(seed), {
    onNote: ({ atMs, actor, what }) => console.log(`${(atMs / 1000).toFixed(6)} ${actor.padEnd(8)} ${what}`),
  })
  console.log(report)
} else {
  const t = performance.now()
  let sim = 0
  let steps = 0
  const marks = new Map<string, number>()
  for (let s = 1; s <= n; s++) {
    const report = await simulate(planOf(s))
    sim += report.simulatedMs
    steps += report.steps
    for (const [k, v] of report.marks) marks.set(k, (marks.get(k) ?? 0) + v)
    if (report.failure) console.log(s, report.failure.check, report.failure.what.slice(0, 400), report.failure.atMs)
  }
  const real = performance.now() - t
  console.log(marks)
  console.log({ sim: sim / 1000, real: real / 1000, ratio: sim / real, stepsPerSec: (steps / real) * 1000, steps })
}
