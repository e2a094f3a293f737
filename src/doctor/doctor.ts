import { readFileSync } from 'node:fs'
import type { AskOptions, ServerConfig } from '../server/index.ts'
import { askCoordinators } from './coordinator-answer.ts'
import { checkCoordinator } from './coordinator-checks.ts'
import type { Finding, Level } from './finding.ts'
import { checkFleet } from './fleet-checks.ts'
import { checkMachine } from './machine-checks.ts'
import { checkResources } from './resource-checks.ts'
import { checkServices } from './service-checks.ts'

/** What the doctor found. */
export interface Diagnosis {
  /** No finding is an error. */
  readonly ok: boolean
  readonly counts: Readonly<Record<Level, number>>
  readonly findings: readonly Finding[]
}

/** How to look. */
export interface DoctorOptions {
  /** How long to wait for each coordinator, milliseconds. */
  readonly timeoutMs: number
}

/**
 * Checks the databases, the services, the coordinators and this machine's part of a fleet. It changes nothing: what it writes to the
 * data directory's disk goes into a file without a name.
 *
 * @example
 * const { ok, findings } = await diagnose(loadConfig('concordat.yaml'), { timeoutMs: 3_000 })
 */
export async function diagnose(config: ServerConfig, { timeoutMs }: DoctorOptions): Promise<Diagnosis> {
  const machine = await checkMachine(config, Date.now())
  // Once the disk was measured, so that nothing else runs meanwhile.
  const [resources, services, answers] = await Promise.all([
    checkResources(config),
    checkServices(config),
    askCoordinators(config, askOptions(config, timeoutMs)),
  ])
  const findings = [
    ...machine,
    ...resources,
    ...services,
    ...answers.flatMap((answer) => checkCoordinator(answer, config.cluster)),
    ...checkFleet(answers, config),
  ]
  const count = (level: Level): number => findings.filter((finding) => finding.level === level).length
  const counts = { ok: count('ok'), warning: count('warning'), error: count('error') }
  return { ok: counts.error === 0, counts, findings }
}

/** Speaks to coordinators with this node's own certificate. One that can't be read has its finding already. */
function askOptions({ tls }: ServerConfig, timeoutMs: number): AskOptions {
  if (tls === undefined) return { timeoutMs }
  try {
    const read = (file: string): Buffer => readFileSync(file)
    const ca = tls.ca === undefined ? {} : { ca: read(tls.ca) }
    return { timeoutMs, tls: { key: read(tls.key), cert: read(tls.cert), ...ca } }
  } catch {
    return { timeoutMs }
  }
}
