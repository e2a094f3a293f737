import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Clock, Timer } from '../base/index.ts'
import { type ConnectFailedError, HandshakeRejectedError } from './errors.ts'
import { Link, type LinkOptions } from './link.ts'
import { memoryNetwork } from './memory-network.ts'
import type { Message } from './messages.ts'
import { hello, TestWorld, until, welcome } from './testing/world.ts'

let world: TestWorld
let link: Link | undefined
let events: string[]
let seen: Message[]
beforeEach(() => {
  world = new TestWorld()
  events = []
  seen = []
})
afterEach(async () => {
  link?.close()
  await world.close()
})

function makeLink(options: Partial<LinkOptions> & { readonly port: number }): Link {
  link = new Link({
    network: world.network,
    host: '127.0.0.1',
    clock: world.clock,
    seed: 7,
    hello: () => hello,
    onUp: () => events.push('up'),
    onDown: (error, attempts) => events.push(`down ${(error as { code?: string }).code} ${attempts}`),
    onMessage: (message) => seen.push(message),
    ...options,
  })
  return link
}

const PING: Message = { kind: 'admin', requestId: 1, method: 'm', json: '' }

test('a link comes up, carries messages and refuses them while it is down', async () => {
  await world.listen({ onConnection: (far) => far.send({ kind: 'leader', leader: undefined }) })
  makeLink({ port: world.port })
  expect(link!.send(PING)).toBe(false)
  await until(() => events.includes('up') && seen.length === 1)
  expect(link!.send(PING)).toBe(true)
  expect(seen).toEqual([{ kind: 'leader', leader: undefined }])
})

test('a hello is made when the stream is open: what it claims does not grow old while the dial hangs', async () => {
  const network = memoryNetwork()
  const greeted: string[] = []
  const accept = ({ name }: typeof hello) => {
    greeted.push(name)
    return welcome
  }
  await world.listen({ network, accept })
  network.cut(world.port)
  let name = 'when the dial began'
  makeLink({ network, port: world.port, hello: () => ({ ...hello, name }) })
  await new Promise(setImmediate)
  name = 'when the stream opened'
  network.mend(world.port)
  await until(() => events.includes('up'))
  expect(greeted).toEqual(['when the stream opened'])
})

test('a link comes back after the other side went away and returned', async () => {
  await world.listen()
  const { port } = world
  makeLink({ port })
  await until(() => events.length === 1)
  await world.listener!.close()
  await until(() => events.some((event) => event.startsWith('down CONNECT_FAILED')))
  await world.listen({ port })
  await until(() => events.at(-1) === 'up')
  expect(events.slice(0, 2)).toEqual(['up', 'down CONNECTION_CLOSED 0'])
})

test('a refusal is reported, and asked again later', async () => {
  const refusals: Error[] = []
  let open = false
  await world.listen({
    accept: () => (open ? welcome : { kind: 'rejected', code: 'NOT_YET', message: 'starting' }),
  })
  makeLink({ port: world.port, onDown: (error) => refusals.push(error) })
  await until(() => refusals.length === 1)
  expect(refusals[0]).toBeInstanceOf(HandshakeRejectedError)
  open = true
  await until(() => events.includes('up'))
})

test('after close nothing is dialled or reported any more', async () => {
  await world.listen()
  makeLink({ port: world.port })
  await until(() => events.length === 1)
  link!.close()
  await until(() => world.listener!.connections.size === 0)
  expect(events).toEqual(['up'])
  expect(link!.send(PING)).toBe(false)
})

describe('back-off, by a clock of the test', () => {
  test('delays double from 50 ms to 5 s, and half of each is jitter', async () => {
    const clock = new ManualClock()
    makeLink({
      port: 1,
      network: memoryNetwork(),
      clock,
      onDown: (error) => events.push((error as ConnectFailedError).code),
    })
    const delays: number[] = []
    for (let attempt = 1; attempt <= 12; attempt++) {
      await until(() => events.length === attempt)
      delays.push(clock.fireNext())
    }
    delays.forEach((delayMs, i) => {
      const ceilingMs = Math.min(50 * 2 ** (i + 1), 5000)
      expect(delayMs).toBeGreaterThanOrEqual(ceilingMs / 2)
      expect(delayMs).toBeLessThan(ceilingMs)
    })
    expect(new Set(delays).size).toBeGreaterThan(6)
  })

  test('the same seed waits the same, another seed differently', async () => {
    const series = async (seed: number) => {
      const clock = new ManualClock()
      let failures = 0
      const onDown = () => {
        failures += 1
      }
      const each = makeLink({ port: 1, network: memoryNetwork(), clock, seed, onDown })
      const delays: number[] = []
      for (let attempt = 1; attempt <= 5; attempt++) {
        await until(() => failures === attempt)
        delays.push(clock.fireNext())
      }
      each.close()
      return delays
    }
    const first = await series(1)
    expect(await series(1)).toEqual(first)
    expect(await series(2)).not.toEqual(first)
  })

  test('hurry dials at once', async () => {
    const clock = new ManualClock()
    makeLink({ port: 1, network: memoryNetwork(), clock })
    await until(() => events.length === 1)
    link!.hurry()
    await until(() => events.length === 2)
    expect(events).toEqual(['down CONNECT_FAILED 1', 'down CONNECT_FAILED 2'])
  })
})

/** Timers fire only when the test says so. */
class ManualClock implements Clock {
  #timers: { readonly delayMs: number; readonly task: () => void }[] = []

  monotonicMs = () => 0
  wallMs = () => 0
  every = (): Timer => ({ timer: undefined })

  after(delayMs: number, task: () => void): Timer {
    const timer = { delayMs, task }
    this.#timers.push(timer)
    return { timer }
  }

  cancel({ timer }: Timer): void {
    this.#timers = this.#timers.filter((each) => each !== timer)
  }

  /** Fires the only timer and says how long it would have waited. */
  fireNext(): number {
    expect(this.#timers.length).toBe(1)
    const { delayMs, task } = this.#timers.shift()!
    task()
    return delayMs
  }
}
