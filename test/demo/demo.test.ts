import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { expect, onTestFailed, onTestFinished, test } from 'vitest'
import type { DemoReport } from '../../src/demo/report.ts'
import { plainEnvironment, program, root } from '../support/program.support.ts'
import { pause, until } from '../support/waiting.support.ts'

/** One run of the demo, with a temporary folder of its own: whatever it leaves behind can be seen. */
class Show {
  readonly folder: string
  readonly child: ChildProcess
  readonly #ended: Promise<number | null>
  stdout = ''
  stderr = ''

  constructor(args: readonly string[], { as, main = program() }: { as?: number; main?: string } = {}) {
    this.folder = mkdtempSync(join(tmpdir(), 'cdt-test-'))
    chmodSync(this.folder, 0o755)
    if (as !== undefined) chownSync(this.folder, as, as)
    this.child = spawn(process.execPath, [main, 'demo', ...args], {
      env: { ...plainEnvironment(), TMPDIR: this.folder, ...(as === undefined ? {} : { HOME: this.folder }) },
      cwd: this.folder,
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(as === undefined ? {} : { uid: as, gid: as }),
    })
    this.child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      this.stdout += chunk
    })
    this.child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
      this.stderr += chunk
    })
    this.#ended = once(this.child, 'exit').then(([code]) => code as number | null)
    onTestFailed(() => console.error(this.stderr, this.stdout))
    onTestFinished(() => this.#close())
  }

  said(words: RegExp): Promise<unknown> {
    return until(`the demo says ${words}`, () => words.test(this.stderr), 60_000)
  }

  end(): Promise<number | null> {
    return this.#ended
  }

  report(): DemoReport {
    return JSON.parse(this.stdout.trimEnd().split('\n').at(-1) ?? '') as DemoReport
  }

  /** Nothing in its folder, and no process that knows the folder: coordinators, applications, databases, watchdogs. */
  async expectNothingLeft(): Promise<void> {
    // A watchdog is a shell that ends when it has seen its process gone.
    await until('its processes are gone', () => this.processes().length === 0, 15_000).catch(() => {})
    expect(this.processes()).toEqual([])
    expect(readdirSync(this.folder)).toEqual([])
  }

  /** Processes whose command line or environment names the folder. */
  processes(): readonly string[] {
    const { stdout } = spawnSync('ps', ['-A', '-ww', '-o', 'pid=,args='], { encoding: 'utf8' })
    return stdout.split('\n').filter((line) => {
      const pid = /^\s*(\d+)/.exec(line)?.[1]
      return pid !== undefined && (line.includes(this.folder) || environmentOf(pid).includes(this.folder))
    })
  }

  #close(): void {
    this.child.kill('SIGKILL')
    rmSync(this.folder, { recursive: true, force: true })
  }
}

/** Empty where the system has no /proc or does not let us look. */
function environmentOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1')
  } catch {
    return ''
  }
}

function expectPromisesKept(report: DemoReport): void {
  expect(report).toMatchObject({ atomic: true, moneyConserved: true, inDoubtAfter: 0, contradictions: 0 })
  expect(report.committed).toBeGreaterThan(0)
  expect(report.resources).toHaveLength(4)
}

/** `nobody`, when this user may start processes as somebody else. */
const nobody =
  process.getuid?.() === 0 ? Number(spawnSync('id', ['-u', 'nobody'], { encoding: 'utf8' }).stdout) : undefined

test('the demo, which an ordinary user runs, keeps every promise while leaders, applications, participants and databases die, and leaves nothing behind', async () => {
  const show = new Show(
    [
      '--once',
      '--seconds',
      '12',
      '--leader-kill-every',
      '5',
      '--application-kill-every',
      '4',
      '--participant-kill-every',
      '4',
      '--database-kill-every',
      '10',
      '--json',
    ],
    nobody === undefined ? {} : { as: nobody, main: readableProgram() },
  )
  await show.said(/kill -9 coordinator/)
  expect(show.processes().length, 'this is how processes are found').toBeGreaterThan(5)
  expect(await show.end()).toBe(0)
  const report = show.report()
  expectPromisesKept(report)
  expect(report.leaderKills).toBeGreaterThanOrEqual(1)
  expect(report.clientKills).toBeGreaterThanOrEqual(1)
  expect(report.participantKills).toBeGreaterThanOrEqual(1)
  expect(report.databaseKills).toBeGreaterThanOrEqual(1)
  expect(show.stdout.trimEnd().split('\n'), 'stdout is for the machine').toHaveLength(1)
  await show.expectNothingLeft()
}, 90_000)

test('Ctrl-C in the middle audits what was booked, and leaves nothing behind', async () => {
  const show = new Show(['--json', '--leader-kill-every', '3'])
  await show.said(/kill -9 coordinator/)
  show.child.kill('SIGINT')
  expect(await show.end()).toBe(0)
  expectPromisesKept(show.report())
  await show.expectNothingLeft()
}, 90_000)

test('Ctrl-C while the stage is being set up ends with 130, and leaves nothing behind', async () => {
  const show = new Show(['--json'])
  await show.said(/starting PostgreSQL/)
  await pause(300)
  show.child.kill('SIGINT')
  expect(await show.end()).toBe(130)
  await show.expectNothingLeft()
}, 60_000)

test('kill -9 of the demo itself takes its databases, coordinators and applications along', async () => {
  const show = new Show(['--json'])
  await show.said(/starting three coordinators/)
  await until('bookings run', () => show.processes().length > 8, 30_000)
  show.child.kill('SIGKILL')
  await show.end()
  await until('its processes are gone', () => show.processes().length === 0, 15_000).catch(() => {})
  expect(show.processes()).toEqual([])
}, 60_000)

/** The program where `nobody` can read it: a checkout below a private home is copied. */
function readableProgram(): string {
  if (isOpenToAll(root)) return program()
  const copy = mkdtempSync(join(tmpdir(), 'cdt-test-'))
  chmodSync(copy, 0o755)
  onTestFinished(() => rmSync(copy, { recursive: true, force: true }))
  for (const part of ['dist', 'node_modules', 'package.json', 'tools']) {
    cpSync(join(root, part), join(copy, part), { recursive: true, verbatimSymlinks: true })
  }
  return join(copy, 'dist/cli/main.js')
}

function isOpenToAll(path: string): boolean {
  for (let folder = path; ; folder = dirname(folder)) {
    if ((statSync(folder).mode & 0o005) !== 0o005) return false
    if (folder === dirname(folder)) return true
  }
}
