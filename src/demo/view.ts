import type { NodeStatus } from '../server/index.ts'
import { stdoutColors } from '../terminal/index.ts'
import type { Tally } from './tally.ts'
import { count, describeKills } from './words.ts'

/** What the view shows; the stage hands it over anew at each turn. */
export interface Scene {
  readonly described: readonly string[]
  readonly addresses: readonly string[]
  readonly statuses: readonly (NodeStatus | undefined)[]
  readonly applications: readonly string[]
  readonly tally: Tally
  readonly inDoubt: number
  readonly elapsedMs: number
  readonly totalMs: number | undefined
  /** Nothing is booked any more; the audit is under way. */
  readonly ending: boolean
}

/** Events kept; a terminal shows as many of the newest as it has room for. */
const EVENTS_KEPT = 50
const EVENTS_SHOWN_MAX = 14
/** The width of the labels at the left. */
const MARGIN = 14
/** Shows the cursor and leaves the alternate screen. */
export const SHOW_MAIN_SCREEN = '\x1b[?25h\x1b[?1049l'
const BARS = ' ▁▂▃▄▅▆▇█'

/** Where the demo speaks to people: a page that redraws itself on a terminal, plain lines elsewhere. */
export interface View {
  say(line: string): void
  draw(scene: Scene): void
  close(): void
}

/** Redraws in place on a terminal. */
export class TerminalView implements View {
  readonly #output: NodeJS.WriteStream
  readonly #events: string[] = []
  #drawn = false

  constructor(output: NodeJS.WriteStream) {
    this.#output = output
  }

  say(line: string): void {
    const time = new Date().toTimeString().slice(0, 8)
    this.#events.push(
      `${stdoutColors.dim(time.padEnd(MARGIN))}${line.startsWith('kill -9') ? stdoutColors.red(line) : line}`,
    )
    if (this.#events.length > EVENTS_KEPT) this.#events.shift()
    if (!this.#drawn) this.#output.write(`${line} …\n`)
  }

  draw(scene: Scene): void {
    // The alternate screen leaves the user's scroll-back as it was.
    if (!this.#drawn) this.#output.write('\x1b[?1049h\x1b[?25l')
    this.#drawn = true
    const width = Math.max(40, this.#output.columns ?? 80)
    const height = Math.max(10, this.#output.rows ?? 24)
    const lines = renderScene(scene, this.#events, width, height).map((line) => `${clip(line, width)}\x1b[K`)
    this.#output.write(`\x1b[H${lines.slice(0, height).join('\n')}\x1b[J`)
  }

  close(): void {
    if (this.#drawn) this.#output.write(SHOW_MAIN_SCREEN)
    this.#drawn = false
  }
}

/** A line now and then, for logs and pipes. */
export class LineView implements View {
  readonly #output: NodeJS.WritableStream
  #lastMs = Number.NEGATIVE_INFINITY

  constructor(output: NodeJS.WritableStream) {
    this.#output = output
  }

  say(line: string): void {
    this.#output.write(`${line}\n`)
  }

  draw({ tally, inDoubt, elapsedMs, statuses }: Scene): void {
    if (elapsedMs - this.#lastMs < 5_000) return
    this.#lastMs = elapsedMs
    const leader = statuses.find((status) => status?.serving)
    this.say(
      `${Math.round(elapsedMs / 1_000)} s: ${tally.committed} committed, ${tally.aborted} aborted, ${tally.unknown} unknown, ` +
        `${inDoubt} prepared now, leader ${leader === undefined ? 'none' : leader.node}`,
    )
  }

  close(): void {}
}

/** The whole page, as at most `height` lines: what does not fit is the older events. */
export function renderScene(scene: Scene, events: readonly string[], width: number, height: number): readonly string[] {
  const page = [
    title(scene, width),
    '',
    ...coordinatorLines(scene),
    '',
    ...labelled('Companies', scene.described),
    '',
    ...labelled('Bookings', bookingLines(scene, width)),
    ...labelled('Killed', [killLine(scene.tally)]),
    ...labelled('Applications', [scene.applications.join(' ')]),
    '',
  ]
  const footer = scene.ending
    ? 'ending: the companies are audited …'
    : 'q or Ctrl-C: end, audit the companies, clean up'
  const room = Math.min(EVENTS_SHOWN_MAX, Math.max(0, height - page.length - 1))
  const shown = room === 0 ? [] : events.slice(-room)
  const blank = page.length + shown.length + 2 <= height ? [''] : []
  return [...page, ...shown, ...blank, stdoutColors.dim(footer)]
}

function title({ elapsedMs, totalMs }: Scene, width: number): string {
  const words = 'every trip with all four companies, or with none'
  const time = `${Math.round(elapsedMs / 1_000)} s${totalMs === undefined ? '' : ` of ${Math.round(totalMs / 1_000)} s`}`
  const gap = Math.max(2, Math.min(width, 100) - MARGIN - 2 - words.length - time.length)
  return `${stdoutColors.bold('concordat demo')}  ${words}${' '.repeat(gap)}${stdoutColors.dim(time)}`
}

/** Puts a bold label at the left of the first line, and all lines under each other. */
function labelled(label: string, lines: readonly string[]): readonly string[] {
  return lines.map(
    (line, index) => `${index === 0 ? stdoutColors.bold(label.padEnd(MARGIN)) : ' '.repeat(MARGIN)}${line}`,
  )
}

function coordinatorLines({ addresses, statuses }: Scene): readonly string[] {
  const head = `${'address'.padEnd(20)}role      term    applied      log   memory`
  return [
    ...labelled('Coordinators', [stdoutColors.dim(head)]),
    ...addresses.map((address, index) => row(index + 1, address, statuses[index])),
  ]
}

function row(id: number, address: string, status: NodeStatus | undefined): string {
  const name = `${' '.repeat(MARGIN)}${id}  ${address.padEnd(17)}`
  if (status === undefined) return `${name}${stdoutColors.red('down')}`
  return [
    `${name}${describeRole(status)}`,
    String(status.term).padStart(4),
    count(status.lastApplied).padStart(9),
    megabytes(status.log.bytesOnDisk).padStart(7),
    megabytes(status.residentBytes).padStart(7),
  ].join('  ')
}

function describeRole({ serving, role }: NodeStatus): string {
  if (serving) return stdoutColors.green('leader  ')
  return role === 'follower' ? 'follower' : stdoutColors.yellow('electing')
}

function bookingLines({ tally, inDoubt }: Scene, width: number): readonly string[] {
  const faults = tally.aborted - tally.refused
  // The second that is under way would always look like a collapse.
  const bars = tally.perSecond.slice(0, -1).slice(-Math.max(10, width - MARGIN - 20))
  return [
    `${stdoutColors.green(`${count(tally.committed)} committed`)}   ${count(tally.refused)} refused ${stdoutColors.dim('(taken, or no money)')}`,
    `${faults === 0 ? '0 aborted' : stdoutColors.yellow(`${count(faults)} aborted`)}   ${tally.unknown} unknown   ${stdoutColors.magenta(`${inDoubt} branches prepared now`)}`,
    bars.length === 0 ? '' : `${stdoutColors.cyan(sparkline(bars))}  ${count(bars.at(-1)!)} a second`,
  ]
}

function killLine({ kills, unavailableMs }: Tally): string {
  const last = unavailableMs.at(-1)
  const words = describeKills(kills)
  return last === undefined ? words : `${words}; no commit for ${Math.round(last)} ms after the last leader`
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1e6)} MB`
}

function sparkline(values: readonly number[]): string {
  const top = Math.max(1, ...values)
  return values.map((value) => BARS[Math.ceil((value / top) * (BARS.length - 1))]).join('')
}

/** Cuts a line to `width` visible characters; colour codes take no room. */
function clip(line: string, width: number): string {
  let visible = 0
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the escape character begins a colour code
  return line.replace(/(\x1b\[[0-9;]*m)|(.)/gu, (whole, code: string | undefined) => {
    if (code !== undefined) return whole
    return ++visible <= width ? whole : ''
  })
}
