import pc from 'picocolors'
import type { NodeStatus } from '../server/index.ts'
import type { Tally } from './tally.ts'

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
}

const EVENTS_SHOWN = 8
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
    this.#events.push(`${pc.dim(new Date().toLocaleTimeString())}  ${line}`)
    if (this.#events.length > EVENTS_SHOWN) this.#events.shift()
    if (!this.#drawn) this.#output.write(`${line} …\n`)
  }

  draw(scene: Scene): void {
    // The alternate screen leaves the user's scroll-back as it was.
    if (!this.#drawn) this.#output.write('\x1b[?1049h\x1b[?25l')
    this.#drawn = true
    const width = Math.max(40, this.#output.columns ?? 80)
    const lines = renderScene(scene, this.#events).map((line) => `${clip(line, width)}\x1b[K`)
    const height = this.#output.rows ?? 40
    this.#output.write(`\x1b[H${lines.slice(0, height - 1).join('\n')}\x1b[J`)
  }

  close(): void {
    if (this.#drawn) this.#output.write('\x1b[?25h\x1b[?1049l')
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

/** The whole page, as lines. */
export function renderScene(scene: Scene, events: readonly string[]): readonly string[] {
  const { tally } = scene
  const left = scene.totalMs === undefined ? '' : ` of ${Math.round(scene.totalMs / 1_000)} s`
  return [
    `${pc.bold('concordat demo')}   booking trips over three databases, all or nothing   ${pc.dim(`${Math.round(scene.elapsedMs / 1_000)} s${left}`)}`,
    '',
    pc.bold('Coordinators'),
    ...scene.addresses.map((address, index) => describeCoordinator(index + 1, address, scene.statuses[index])),
    '',
    pc.bold('Databases'),
    ...scene.described.map((line) => `  ${line}`),
    '',
    `${pc.bold('Applications')}  ${scene.applications.join(' ')}`,
    '',
    `${pc.bold('Bookings')}  ${pc.green(`${tally.committed} committed`)}   ${pc.yellow(`${tally.aborted} aborted`)}` +
      pc.dim(` (${tally.refused} taken or short of money)`) +
      `   ${tally.unknown} unknown   ${pc.magenta(`${scene.inDoubt} prepared now`)}`,
    `  ${pc.cyan(sparkline(tally.perSecond))} ${tally.perSecond.at(-2) ?? 0} a second`,
    `  ${tally.leaderKills} leaders and ${tally.clientKills} applications killed` +
      (tally.unavailableMs.length === 0
        ? ''
        : `; last time without a leader ${Math.round(tally.unavailableMs.at(-1)!)} ms`),
    '',
    pc.bold('What happens'),
    ...events.map((line) => `  ${line}`),
    '',
    pc.dim('q or Ctrl-C ends the demo, audits the databases and cleans up'),
  ]
}

function describeCoordinator(id: number, address: string, status: NodeStatus | undefined): string {
  const name = `  ${id}  ${address.padEnd(16)}`
  if (status === undefined) return `${name} ${pc.red('down')}`
  const role = status.serving ? pc.green('leader  ') : status.role === 'follower' ? 'follower' : pc.yellow('electing')
  return `${name} ${role}  term ${status.term}  applied ${status.lastApplied}  log ${megabytes(status.log.bytesOnDisk)}  memory ${megabytes(status.residentBytes)}`
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1e6)} MB`
}

function sparkline(values: readonly number[]): string {
  const top = Math.max(1, ...values)
  return values.map((value) => BARS[Math.round((value / top) * (BARS.length - 1))]).join('')
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
