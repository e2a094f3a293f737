import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Prng } from '../base/index.ts'
import { askStatus, type NodeStatus } from '../server/index.ts'
import { Applications } from './applications.ts'
import { type Audit, audit } from './audit.ts'
import { Caretaker } from './caretaker.ts'
import { type Companies, choosePlaces, openCompanies } from './companies.ts'
import type { DemoOptions } from './demo.ts'
import { Fleet } from './fleet.ts'
import { InDoubtWatch } from './in-doubt-watch.ts'
import { Killer } from './killer.ts'
import { Participants } from './participants.ts'
import { type DemoReport, makeReport } from './report.ts'
import type { StopRequest } from './stop-request.ts'
import { Tally } from './tally.ts'
import { victimsOf } from './victims.ts'
import type { View } from './view.ts'
import { World } from './world.ts'

/** Bookings take one seat in four, so that a fifth of them finds its seat or room taken. */
const SEATS_PER_BOOKING = 4
/** How long nothing in doubt may remain once nobody is killed any more. */
const SETTLE_MS = 30_000

/** Everything that runs, in the order in which it is built up and taken down. */
export class Stage {
  readonly #options: DemoOptions
  readonly #view: View
  readonly #directory = mkdtempSync(join(tmpdir(), 'cdt-demo-'))
  readonly #toldFile = join(this.#directory, 'told')
  readonly #caretaker: Caretaker
  readonly #tally = new Tally()
  #world: World | undefined
  #participants: Participants | undefined
  #companies: Companies | undefined
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
    const places = await choosePlaces(this.#world.places)
    const secret = randomBytes(16).toString('hex')
    const onUnexpectedEnd = (line: string): void => this.#fail(line)
    say('starting three coordinators')
    this.#fleet = new Fleet(this.#directory, places, secret, onUnexpectedEnd)
    this.#statuses = this.#fleet.addresses.map(() => undefined)
    this.#poll(100, () => this.#askStatuses())
    await this.#soon(() => this.#statuses.some((status) => status?.serving), 20_000, 'no leader was elected', stop)
    say('starting payments and tickets')
    this.#participants = new Participants(this.#directory, places, secret, onUnexpectedEnd)
    this.#companies = openCompanies(places, 2)
    await this.#participants.fill(this.#companies)
    stop.throwIfRequested()
    const { concurrency } = this.#options
    this.#applications = new Applications({ places, concurrency, toldFile: this.#toldFile }, (news) =>
      this.#tally.add(news),
    )
    this.#watch = new InDoubtWatch(this.#companies)
    this.#killer = this.#makeKiller(this.#fleet, this.#applications, say)
  }

  #makeKiller(fleet: Fleet, applications: Applications, say: (line: string) => void): Killer {
    const victims = victimsOf(fleet, this.#participants!, this.#world!)
    return new Killer(
      {
        fleet,
        victims,
        applications,
        tally: this.#tally,
        prng: new Prng(this.#options.seed),
        statuses: () => this.#statuses.filter((status) => status !== undefined),
        say,
        onFailure: (line) => this.#fail(line),
      },
      this.#options.kills,
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
    const { once, seconds, killsMax } = this.#options
    const ends = [stop.asked, this.#untilFailure()]
    if (once && seconds !== undefined) ends.push(this.#after(seconds * 1_000))
    if (once && killsMax !== undefined) ends.push(this.#until(() => this.#tally.killsInAll >= killsMax))
    await Promise.race(ends)
    this.#playedMs = performance.now() - this.#startedMs
    if (this.#failure !== undefined) throw this.#failure
  }

  /** Stops the kills and the load, waits until nothing is in doubt, and asks the databases. */
  async end(): Promise<{ readonly report: DemoReport; readonly found: Audit }> {
    this.#view.say('ending the bookings that are under way')
    this.#ending = true
    await this.#killer!.stop()
    await this.#applications!.stop(20_000)
    this.#view.say('waiting until nothing is in doubt')
    const deadlineMs = performance.now() + SETTLE_MS
    // What has just been started again may not answer yet.
    while ((await this.#watch!.look().catch(() => 1)) > 0 && performance.now() < deadlineMs)
      await new Promise((resolve) => setTimeout(resolve, 100))
    this.#watch!.stop()
    this.#tally.settleKills(Number.POSITIVE_INFINITY, 0)
    this.#view.say('auditing the companies')
    const found = await audit(this.#companies!, this.#toldFile)
    const resources = this.#described.map((line) => line.replace(/\s+/g, ' '))
    const report = makeReport(this.#tally, found, this.#watch!.durationsMs, this.#playedMs / 1_000, resources)
    return { report, found }
  }

  async tearDown(): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer)
    this.#timers = []
    this.#watch?.stop()
    await this.#killer?.stop().catch(() => {})
    this.#applications?.killAll()
    await Promise.all([this.#fleet?.stop(), this.#participants?.stop()])
    await this.#closeCompanies()
    await this.#world?.stop()
    rmSync(this.#directory, { recursive: true, force: true })
    this.#caretaker.dismiss()
  }

  async #closeCompanies(): Promise<void> {
    const { flights, hotels, payments } = this.#companies ?? {}
    this.#companies = undefined
    await Promise.allSettled([flights?.end(), hotels?.pool.end(), payments?.close()])
  }

  /** One line for each company: what runs there. */
  get #described(): readonly string[] {
    return [...this.#world!.described, ...this.#participants!.described]
  }

  #fail(line: string): void {
    this.#failure ??= new Error(line)
  }

  #after(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.#timers.push(setTimeout(resolve, delayMs)))
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
    // A database that is down gets its seats a second later; there are some thousands to sell until then.
    const isExtended = await this.#world!.extendTo(horizon + 20_000).then(
      () => true,
      () => false,
    )
    if (isExtended) this.#applications!.moveTo(horizon)
  }

  get #totalMs(): number | undefined {
    const { once, seconds } = this.#options
    return once && seconds !== undefined ? seconds * 1_000 : undefined
  }

  #draw(): void {
    this.#view.draw({
      described: this.#described,
      addresses: this.#fleet!.addresses,
      statuses: this.#statuses,
      applications: this.#applications!.names,
      tally: this.#tally,
      inDoubt: this.#watch!.count,
      elapsedMs: this.#ending ? this.#playedMs : performance.now() - this.#startedMs,
      totalMs: this.#totalMs,
      ending: this.#ending,
    })
  }

  #untilFailure(): Promise<void> {
    return this.#until(() => this.#failure !== undefined)
  }

  #until(isTrue: () => boolean): Promise<void> {
    return new Promise((resolve) => this.#poll(100, async () => (isTrue() ? resolve() : undefined)))
  }

  async #soon(isTrue: () => boolean, timeoutMs: number, otherwise: string, stop: StopRequest): Promise<void> {
    const deadlineMs = performance.now() + timeoutMs
    while (!isTrue()) {
      stop.throwIfRequested()
      if (this.#failure !== undefined) throw this.#failure
      if (performance.now() > deadlineMs) throw new Error(`${otherwise} within ${timeoutMs / 1_000} s`)
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
}
