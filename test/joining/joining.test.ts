import type { IncomingMessage } from 'node:http'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import {
  type BranchId,
  formatCallTicket,
  makeTxid,
  parseCallReport,
  parseClusterId,
  REPORT_HEADER,
} from '../../src/base/index.ts'
import { Concordat, type Transaction } from '../../src/client/index.ts'
import type { Joining } from '../../src/participant/joining/index.ts'
import { pause, until } from '../support/waiting.support.ts'
import { type Deciding, fleetFor, joiningOf, LoneCoordinator, noMariadb, Places, serve } from './joining.support.ts'

let places: Places
let fleet: LoneCoordinator
let concordat: Concordat

beforeAll(async () => {
  places = await Places.start()
  fleet = await LoneCoordinator.start(places)
}, 60_000)
afterAll(async () => {
  await fleet.stop()
  await places.close()
})

beforeEach(async () => {
  await places.clear()
  concordat = new Concordat({ coordinators: fleet.addresses, timeoutMs: 20_000, closeTimeoutMs: 500 })
  onTestFinished(() => concordat.close())
})

/** Writes one entry into PostgreSQL, in the transaction of a call. */
async function note(tx: Transaction | undefined, what: string): Promise<void> {
  if (tx === undefined) throw new Error('the call is part of no transaction')
  const db = await tx.enlist(places.stock)
  await db.query('insert into entries values ($1)', [what])
}

/** A service that notes the body of each call; `after` may do more. */
async function noting(
  after: (tx: Transaction, what: string, request: IncomingMessage) => unknown = () => {},
  deciding: Deciding = fleet,
): Promise<{ url: string; joins: Joining }> {
  const joins = await joiningOf(deciding, { resources: noMariadb ? [places.stock] : [places.stock, places.mail] })
  const url = await serve(
    joins.node(async (request, response) => {
      const what = await text(request)
      const tx = joins.transaction(request)
      try {
        await note(tx, what)
        const status = await after(tx!, what, request)
        response.writeHead(typeof status === 'number' ? status : 200).end(what)
      } catch (error) {
        response.writeHead(500).end(String(error))
      }
    }),
  )
  return { url, joins }
}

function post(tx: Transaction, url: string, body: string, init: RequestInit = {}): Promise<Response> {
  return tx.fetch(url, { method: 'POST', body, ...init })
}

async function failure(work: Promise<unknown>): Promise<Record<string, unknown>> {
  const error: unknown = await work.then(
    () => expect.unreachable('it should have failed'),
    (thrown: unknown) => thrown,
  )
  return error as Record<string, unknown>
}

test('P1: caller, called and whom that one calls commit together, promptly', async () => {
  const last = await noting(async (tx) => {
    if (noMariadb) return
    const mail = await tx.enlist(places.mail)
    await mail.query('insert into entries values (?)', ['mailed'])
  })
  const middle = await noting((tx) => post(tx, last.url, 'last'))
  await concordat.transaction(async (tx) => {
    await note(tx, 'caller')
    expect((await post(tx, middle.url, 'middle')).ok).toBe(true)
    // Nothing is prepared before the commit request.
    expect(await places.prepared()).toEqual([])
  })
  const all = noMariadb ? ['caller', 'last', 'middle'] : ['caller', 'last', 'mailed', 'middle']
  // Well below the resolver's grace time: the called services carry the decision out themselves.
  await until('the called services have committed', async () => (await places.entries()).length === all.length, 900)
  expect(await places.entries()).toEqual(all)
  await until('nothing is open there', () => middle.joins.openCount + last.joins.openCount === 0)
  await until('every branch has acknowledged', () => fleet.decided === 0)
})

test('P1: a caller that throws takes all of it back, promptly', async () => {
  const last = await noting()
  const middle = await noting((tx) => post(tx, last.url, 'last'))
  const error = await failure(
    concordat.transaction(async (tx) => {
      await note(tx, 'caller')
      await post(tx, middle.url, 'middle')
      throw new Error('no money')
    }),
  )
  expect(error.message).toBe('no money')
  await places.quiet(2_000)
  expect(await places.entries()).toEqual([])
})

describe('a called service that fails', () => {
  test('P1: one that answers 500 after it joined is rolled back, and so is whom it called', async () => {
    const last = await noting()
    const middle = await noting(async (tx) => {
      await post(tx, last.url, 'last')
      throw new Error('broken')
    })
    const error = await failure(
      concordat.transaction(async (tx) => {
        await note(tx, 'caller')
        // The application overlooks it.
        expect((await post(tx, middle.url, 'middle')).status).toBe(500)
      }),
    )
    expect(error).toMatchObject({ code: 'TXN_ABORTED', reason: 'callFailed' })
    await places.quiet(2_000)
    expect(await places.entries()).toEqual([])
  })

  test('an optional call that fails leaves nothing, and the rest commits', async () => {
    const refusing = await noting(() => 404)
    await concordat.transaction(async (tx) => {
      await note(tx, 'caller')
      const answer = await tx.fetch(refusing.url, { method: 'POST', body: 'refused' }, { optional: true })
      expect(answer.status).toBe(404)
    })
    await places.quiet(2_000)
    expect(await places.entries()).toEqual(['caller'])
  })

  test('a statement that failed spoils its call, though the handler answers 200', async () => {
    const careless = await noting(async (tx) => {
      const db = await tx.enlist(places.stock)
      await db.query('insert into nowhere values (1)').catch(() => {})
    })
    const error = await failure(concordat.transaction((tx) => post(tx, careless.url, 'careless')))
    expect(error).toMatchObject({ reason: 'callFailed' })
    expect(await places.entries()).toEqual([])
  })

  test('P1: one that is gone when its vote is asked for aborts the transaction at once, not at its deadline', async () => {
    const called = await noting()
    const startMs = performance.now()
    const error = await failure(
      concordat.transaction(async (tx) => {
        await note(tx, 'caller')
        await post(tx, called.url, 'called')
        await called.joins.close()
      }),
    )
    expect(error).toMatchObject({ code: 'TXN_ABORTED', reason: 'unreachable', retryable: true })
    expect(performance.now() - startMs).toBeLessThan(10_000)
    await places.quiet()
    expect(await places.entries()).toEqual([])
    await until('nobody waits for its acknowledgement', () => fleet.decided === 0)
  })
})

describe('a call that nobody reported', () => {
  test('P1, P7: is rolled back when its transaction commits without it, and finds out by itself', async () => {
    const called = await noting()
    await concordat.transaction(async (tx) => {
      await note(tx, 'caller')
      await note(tx, 'caller again')
      const { url, joins } = await noting()
      await post(tx, url, 'reported')
      // The answer gets lost: a client that never hands it in.
      const lost = await fetch(called.url, {
        method: 'POST',
        body: 'lost',
        headers: await tx.headers({ optional: true }),
      })
      expect(lost.status).toBe(200)
      expect(joins.openCount).toBe(1)
    })
    expect(called.joins.openCount).toBe(1)
    // Long before its transaction's 20 s are over.
    await until('it has found out', () => called.joins.openCount === 0, 8_000)
    await places.quiet(2_000)
    expect(await places.entries()).toEqual(['caller', 'caller again', 'reported'])
  })

  test('P1, P7: is rolled back when its transaction aborted because of it, and finds out by itself', async () => {
    const called = await noting()
    const error = await failure(
      concordat.transaction(async (tx) => {
        await fetch(called.url, { method: 'POST', body: 'lost', headers: await tx.headers() })
        await note(tx, 'caller')
      }),
    )
    expect(error).toMatchObject({ reason: 'callFailed' })
    await until('it has found out', () => called.joins.openCount === 0, 8_000)
    await places.quiet(2_000)
    expect(await places.entries()).toEqual([])
  })

  test('P1: a call that a proxy made twice counts once', async () => {
    const [one, other] = [await noting(), await noting((_tx, what) => pause(what === 'slow' ? 300 : 0))]
    const proxy = await serve(async (request, response) => {
      const body = await text(request)
      const headers = { 'concordat-tx': String(request.headers['concordat-tx']) }
      // To two instances, whose branches have the same numbers; the answer of one is lost.
      await fetch(one.url, { method: 'POST', body: `${body} lost`, headers })
      const answer = await fetch(other.url, { method: 'POST', body, headers })
      response.writeHead(answer.status, { [REPORT_HEADER]: answer.headers.get(REPORT_HEADER) ?? '' }).end()
    })
    await concordat.transaction(async (tx) => {
      await note(tx, 'caller')
      await post(tx, proxy, 'called')
    })
    await until('the first one has found out', () => one.joins.openCount === 0, 8_000)
    await places.quiet(2_000)
    expect(await places.entries()).toEqual(['called', 'caller'])
    // To the same instance: the second is refused, and the caller hears nothing that it could take for a report.
    const twice = await serve(async (request, response) => {
      const headers = { 'concordat-tx': String(request.headers['concordat-tx']) }
      const first = fetch(other.url, { method: 'POST', body: 'slow', headers })
      await pause(100)
      const second = await fetch(other.url, { method: 'POST', body: 'again', headers })
      await first
      response.writeHead(second.status, Object.fromEntries(second.headers)).end(await second.text())
    })
    const error = await failure(
      concordat.transaction(async (tx) => {
        const answer = await post(tx, twice, '')
        expect([answer.status, ((await answer.json()) as { code: string }).code]).toEqual([409, 'JOIN_REPEATED'])
      }),
    )
    expect(error).toMatchObject({ reason: 'callFailed' })
  })

  test('a caller that hangs up before the answer frees the called service at once', async () => {
    const called = await noting((tx) => new Promise((resolve) => tx.signal.addEventListener('abort', resolve)))
    const error = await failure(
      concordat.transaction((tx) => post(tx, called.url, 'slow', { signal: AbortSignal.timeout(200) })),
    )
    expect(error.name).toBe('TimeoutError')
    await places.quiet(2_000)
    expect(await places.entries()).toEqual([])
  })
})

describe('deadlines', () => {
  test('the called service has what is left of the caller’s time, and no more', async () => {
    let leftMs = 0
    const called = await noting(async (tx, _what, request) => {
      leftMs = Number(String(request.headers['concordat-tx']).split(';').at(-1))
      await new Promise((resolve) => tx.signal.addEventListener('abort', resolve))
    })
    const error = await failure(
      concordat.transaction({ timeoutMs: 1_000 }, async (tx) => {
        await pause(100)
        await post(tx, called.url, 'slow')
      }),
    )
    expect(error).toMatchObject({ code: 'TXN_ABORTED', reason: 'deadline' })
    expect(leftMs).toBeGreaterThan(0)
    expect(leftMs).toBeLessThanOrEqual(900)
    await places.quiet(3_000)
    expect(await places.entries()).toEqual([])
  })

  test('P7: a caller that says nothing any more holds sessions for its time and a little more', async () => {
    const joins = await joiningOf(fleet, { resources: [places.stock], timeoutMaxMs: 300 })
    const url = await serve(
      joins.node(async (request, response) => {
        await note(joins.transaction(request), 'left')
        response.end()
      }),
    )
    // No coordinator ever hears of this transaction.
    const ticket = { cluster: parseClusterId(fleet.cluster), txid: newTxid(), call: 0, timeoutMs: 60_000 }
    const header = formatCallTicket({ ...ticket, numbers: [0 as BranchId] })
    const answer = await fetch(url, { method: 'POST', headers: { 'concordat-tx': header } })
    expect(parseCallReport(answer.headers.get(REPORT_HEADER) ?? '')).toMatchObject({ state: 'joined' })
    await until('it was given up', () => joins.openCount === 0, 9_000)
    await places.quiet(1_000)
    expect(fleet.server.coordinator.knowledge(ticket.txid)).toMatchObject({ kind: 'unknown' })
  })
})

test('a header that is wrong, foreign or late is refused with a code, and the handler does not run', async () => {
  let runs = 0
  const joins = await joiningOf(fleet, { resources: [places.stock], openMax: 1 })
  const url = await serve(
    joins.node(async (request, response) => {
      runs += 1
      const tx = joins.transaction(request)
      if (tx !== undefined) await tx.enlist(places.stock)
      response.end(tx === undefined ? 'plain' : 'joined')
    }),
  )
  const ticket = { cluster: parseClusterId(fleet.cluster), call: 0, numbers: [0 as BranchId], timeoutMs: 60_000 }
  const told = async (header: string): Promise<string> => {
    const answer = await fetch(url, { headers: { 'concordat-tx': header } })
    const report = parseCallReport(answer.headers.get(REPORT_HEADER) ?? '')
    return `${answer.status} ${((await answer.json()) as { code: string }).code} ${report?.state ?? 'unreported'}`
  }
  const good = (): string => formatCallTicket({ ...ticket, txid: newTxid() })
  for (const header of ['', 'x', good().replace('j1', 'j2'), `${good()}, ${good()}`, 'x'.repeat(8_000)]) {
    expect(await told(header)).toBe('400 JOIN_BAD_HEADER unreported')
  }
  const foreign = formatCallTicket({ ...ticket, txid: newTxid(), cluster: parseClusterId('other') })
  expect(await told(foreign)).toBe('409 JOIN_WRONG_CLUSTER failed')
  expect(await told(formatCallTicket({ ...ticket, txid: newTxid(), timeoutMs: 0 }))).toBe('409 JOIN_OVER failed')
  expect(runs).toBe(0)
  expect(await (await fetch(url)).text()).toBe('plain')
  expect(await (await fetch(url, { headers: { 'concordat-tx': good() } })).text()).toBe('joined')
  expect(await told(good())).toBe('503 JOIN_BUSY failed')
  expect(runs).toBe(2)
  const closing = joins.close()
  expect(await told(good())).toBe('503 JOIN_BUSY failed')
  await closing
})

test('more than a transaction’s 64 branches are refused where they are asked for', async () => {
  const joins = await joiningOf(fleet, { resources: [places.stock] })
  const said: string[] = []
  const url = await serve(
    joins.node(async (request, response) => {
      const tx = joins.transaction(request)!
      await tx.enlist(places.stock)
      const error = await failure(tx.headers())
      said.push(String(error.code))
      response.end()
    }),
  )
  const error = await failure(concordat.transaction((tx) => tx.fetch(url, {}, { branches: 1 })))
  expect(said).toEqual(['TXN_TOO_MANY_BRANCHES'])
  expect(error).toMatchObject({ reason: 'callFailed' })
})

test('P6: a coordinator’s crash between the calls and the commit changes nothing', async () => {
  const three = await fleetFor(places)
  const called = await noting(undefined, three)
  await using own = new Concordat({ coordinators: three.addresses, timeoutMs: 20_000 })
  await own.transaction(async (tx) => {
    await note(tx, 'caller')
    await post(tx, called.url, 'called')
    await three.kill((await three.leader()).node)
  })
  await until('it is committed', async () => (await places.entries()).length === 2)
  await until('nothing is open there', () => called.joins.openCount === 0)
})

function newTxid() {
  return makeTxid(Date.now(), crypto.getRandomValues(new Uint8Array(10)))
}
