import { planWith } from '../faults/overrides.ts'
import { simulate } from '../run/simulation.ts'
import { shrink } from '../shrink/shrink.ts'
import { formatNote, replayCommand, storyOf } from '../shrink/story.ts'
import { HELP, parseRequest, type Request, UsageError } from './arguments.ts'
import { campaignCommand } from './campaign-command.ts'

async function main(): Promise<number> {
  const request = parseRequest(process.argv.slice(2))
  switch (request.kind) {
    case 'help':
      process.stdout.write(`${HELP}\n`)
      return 0
    case 'replay':
      return replay(request)
    case 'shrink':
      return shrinkOne(request)
    case 'campaign':
      return campaignCommand(request)
  }
}

async function replay({ seed, overrides, json }: Extract<Request, { kind: 'replay' }>): Promise<number> {
  const report = await simulate(planWith(seed, overrides), {
    onNote: (note) => process.stdout.write(`${json ? JSON.stringify(note) : formatNote(note)}\n`),
  })
  const { failure, hash, simulatedMs, steps, tally } = report
  const end = { seed, failure: failure && { ...failure, error: undefined }, hash, simulatedMs, steps, tally }
  process.stdout.write(json ? `${JSON.stringify(end)}\n` : `\n${JSON.stringify(end, undefined, 2)}\n`)
  return failure === undefined ? 0 : 1
}

async function shrinkOne({ seed, overrides }: Extract<Request, { kind: 'shrink' }>): Promise<number> {
  const shrunk = await shrink(
    seed,
    { runsMax: 600, onRun: (runs, best) => process.stderr.write(`\r\x1b[K${runs} runs, ${best.keep?.length} faults`) },
    overrides,
  )
  process.stderr.write('\n')
  if (shrunk === undefined) {
    process.stdout.write(`Nothing fails: ${replayCommand(seed, overrides)}\n`)
    return 0
  }
  process.stdout.write(`${await storyOf(seed, shrunk.overrides)}\n`)
  return 1
}

main().then(
  (code) => {
    process.exitCode = code
  },
  (error: unknown) => {
    if (error instanceof UsageError) process.stderr.write(`${error.message}\n\n${HELP}\n`)
    else process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`)
    process.exitCode = 2
  },
)
