import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Prng } from '../base/index.ts'
import { askStatus, type NodeStatus } from '../server/index.ts'
import { stdoutColors } from '../terminal/index.ts'
import { Applications } from './applications.ts'
import { type Audit, audit } from './audit.ts'
import { Caretaker } from './caretaker.ts'
import { Fleet } from './fleet.ts'
import { InDoubtWatch } from './in-doubt-watch.ts'
import { Killer } from './killer.ts'
import { type DemoReport, describeReport, isGood, makeReport } from './report.ts'
import { StopRequest } from './stop-request.ts'
import { Tally } from './tally.ts'
import { LineView, TerminalView, type View } from './view.ts'
import { World } from './world.ts'

/** How `concordat demo` runs. */
export interface DemoOptions {
  /** End after `seconds`, instead of running until Ctrl-C or q. */
  readonly once: boolean
  readonly seconds: number
  /** Print the report as one line of JSON on stdout; progress goes to stderr. */
  readonly json: boolean
  readonly applications: number
  /** Bookings under way at a time in each application. */
  readonly concurrency: number
  readonly leaderKillEverySeconds: number
  readonly applicationKillEverySeconds: number
  readonly seed: number
}

/** Bookings take one seat in four, so that a fifth of them finds its seat or room taken. */
const SEATS_PER_BOOKING = 4
/** How long nothing in doubt may remain once nobody is killed any more. */
const SETTLE_MS = 30_000

/**
 * Runs the demo and answers with the exit code: 0 when every promise was kept.
 * Whatever way it ends, no process and no directory stays behind.
 */
export async function runDemo(options: DemoOptions): Promise<number> {
  const live = process.stdout.isTTY === true && !options.json
  const view: View = live ? new TerminalView(process.stdout) : new LineView(process.stderr)
  const stop = new StopRequest(live, () => view.say('stopping'))
  const stage = new Stage(options, view, live)
  try {
    await stage.setUp(stop)
    await stage.play(stop)
    const { report, found } = await Promise.race([stage.end(), stop.insisted])
    view.close()
    if (!options.json) console.log(describeReport(report, found, stage.faults, stdoutColors))
    await stage.tearDown()
    if (options.json) console.log(JSON.stringify(report))
    return isGood(report) ? 0 : 1
  } catch (error) {
    view.close()
    if (stop.requested) return 130
    throw error
  } finally {
    view.close()
    await stage.tearDown()
    stop.dispose()
  }
}

/** Everything that runs, in the order in which it is built up and taken down. */
class Stage {
  readonly #options: DemoOptions
  readonly #view: View
  readonly #directory = mkdtempSync(join(tmpdir(), 'cdt-demo-'))
  readonly #toldFile = join(this.#directory, 'told')
  readonly #caretaker: Caretaker
  readonly #tally = new Tally()
  #world: World | undefined
  #fleet: Fleet | undefined
  #applications: Applications | undefined
  #killer: Killer | undefined
  #watch: InDoubtWatch | undefined
  #statuses: (NodeStatus | undefined)[] = []
  #timers: NodeJS.Timeout[] = []
  #startedMs = 0
  #playedMs = 0
  #ending = false
  #failure: Error | undefined

  constructor(options: DemoOptions, view: View, live: boolean) {
    this.#options = options
    this.#view = view
    this.#caretaker = new Caretaker(this.#directory, live)
    writeFileSync(this.#toldFile, '')
  }

  async setUp(stop: StopRequest): Promise<void> {
    const say = (line: string): void => this.#view.say(line)
    this.#world = await World.start(say)
    stop.throwIfRequested()
    say('starting three coordinators')
    this.#fleet = await Fleet.start(this.#directory, this.#world.urls, (line) => this.#fail(line))
    this.#statuses = this.#fleet.addresses.map(() => undefined)
    this.#poll(100, () => this.#askStatuses())
    await this.#until(() => this.#statuses.some((status) => status?.serving), 20_000, 'no leader was elected', stop)
    this.#applications = new Applications(
      {
        coordinators: this.#fleet.addresses,
        urls: this.#world.urls,
        concurrency: this.#options.concurrency,
        toldFile: this.#toldFile,
      },
      (news) => this.#tally.add(news),
    )
    this.#watch = new InDoubtWatch(this.#world.pools)
    this.#killer = new Killer(
      {
        fleet: this.#fleet,
        applications: this.#applications,
        tally: this.#tally,
        prng: new Prng(this.#options.seed),
        statuses: () => this.#statuses.filter((status) => status !== undefined),
        say,
      },
      {
        leaderEveryMs: this.#options.leaderKillEverySeconds * 1_000,
        applicationEveryMs: this.#options.applicationKillEverySeconds * 1_000,
        downMs: 1_500,
      },
    )
  }

  /** Why bookings were rolled back that were not refused. */
  get faults(): ReadonlyMap<string, number> {
    return this.#tally.faults
  }

  async play(stop: StopRequest): Promise<void> {
    this.#startedMs = performance.now()
    this.#watch!.start(25)
    for (let i = 0; i < this.#options.applications; i++) this.#applications!.start()
    this.#killer!.start()
    this.#poll(1_000, () => this.#everySecond())
    this.#poll(250, async () => this.#draw())
    const end = this.#options.once
      ? new Promise((resolve) => this.#later(this.#options.seconds * 1_000, resolve))
      : new Promise(() => {})
    await Promise.race([end, stop.asked, this.#untilFailure()])
    this.#playedMs = performance.now() - this.#startedMs
    if (this.#failure !== undefined) throw this.#failure
  }

  /** Stops the kills and the load, waits until nothing is in doubt, and asks the databases. */
  async end(): Promise<{ readonly report: DemoReport; readonly found: Audit }> {
    this.#view.say('ending the bookings that are under way')
    this.#ending = true
    await this.#killer!.stop()
    this.#fleet!.restartAll()
    await this.#applications!.stop(20_000)
    this.#view.say('waiting until nothing is in doubt')
    const deadlineMs = performance.now() + SETTLE_MS
    while ((await this.#watch!.look()) > 0 && performance.now() < deadlineMs)
      await new Promise((resolve) => setTimeout(resolve, 100))
    this.#watch!.stop()
    this.#tally.settleKills(Number.POSITIVE_INFINITY, 0)
    this.#view.say('auditing the databases')
    const found = await audit(this.#world!.pools, this.#world!.moneyAtStart, this.#toldFile)
    const resources = this.#world!.described.map((line) => line.replace(/\s+/g, ' '))
    const report = makeReport(this.#tally, found, this.#watch!.durationsMs, this.#playedMs / 1_000, resources)
    return { report, found }
  }

  async tearDown(): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer)
    this.#timers = []
    this.#watch?.stop()
    await this.#killer?.stop().catch(() => {})
    this.#applications?.killAll()
    await this.#fleet?.stop()
    await this.#world?.stop()
    rmSync(this.#directory, { recursive: true, force: true })
    this.#caretaker.dismiss()
  }

  #fail(line: string): void {
    this.#failure ??= new Error(line)
  }

  #later(delayMs: number, task: (value?: unknown) => void): void {
    this.#timers.push(setTimeout(task, delayMs))
  }

  /** Runs `task` again and again, never twice at a time. */
  #poll(periodMs: number, task: () => Promise<void>): void {
    const slot = this.#timers.length
    const turn = async (): Promise<void> => {
      await task().catch((error: Error) => this.#fail(error.message))
      if (this.#timers.length > slot) this.#timers[slot] = setTimeout(turn, periodMs)
    }
    this.#timers.push(setTimeout(turn, 0))
  }

  async #askStatuses(): Promise<void> {
    this.#statuses = await Promise.all(
      this.#fleet!.addresses.map((address) => askStatus(address, { timeoutMs: 500 }).catch(() => undefined)),
    )
  }

  async #everySecond(): Promise<void> {
    this.#tally.nextSecond()
    this.#tally.settleKills(Date.now(), 5_000)
    const horizon = this.#tally.committed * SEATS_PER_BOOKING
    await this.#world!.extendTo(horizon + 20_000)
    this.#applications!.moveTo(horizon)
  }

  #draw(): void {
    this.#view.draw({
      described: this.#world!.described,
      addresses: this.#fleet!.addresses,
      statuses: this.#statuses,
      applications: this.#applications!.names,
      tally: this.#tally,
      inDoubt: this.#watch!.count,
      elapsedMs: this.#ending ? this.#playedMs : performance.now() - this.#startedMs,
      totalMs: this.#options.once ? this.#options.seconds * 1_000 : undefined,
      ending: this.#ending,
    })
  }

  async #untilFailure(): Promise<void> {
    return await new Promise((resolve) =>
      this.#poll(100, async () => (this.#failure === undefined ? undefined : resolve())),
    )
  }

  async #until(isTrue: () => boolean, timeoutMs: number, otherwise: string, stop: StopRequest): Promise<void> {
    const deadlineMs = performance.now() + timeoutMs
    while (!isTrue()) {
      stop.throwIfRequested()
      if (this.#failure !== undefined) throw this.#failure
      if (performance.now() > deadlineMs) throw new Error(`${otherwise} within ${timeoutMs / 1_000} s`)
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
}
