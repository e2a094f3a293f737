import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { beforeEach, describe, expect, test } from 'vitest'
import { formatCallReport, joinedName, parseCallTicket, REPORT_HEADER, type ReportedBranch } from '../base/index.ts'
import { Concordat } from './concordat.ts'
import { InvalidOptionsError, TooManyBranchesError, TransactionAbortedError, TransactionEndedError } from './errors.ts'
import { MemoryResource } from './memory-resource.support.ts'
import { ScriptedPort } from './scripted-port.support.ts'
import type { Transaction } from './transaction.ts'

// What a caller does with answers, told by a server that says exactly what the test wants. The whole is in test/joining.

const STOCK = joinedName('0123456789ab', 'stock')

let port: ScriptedPort
let concordat: Concordat
let url: string
/** Headers that came, one for each call. */
let tickets: string[]
let answer: (request: IncomingMessage, response: ServerResponse) => void

beforeEach(async () => {
  port = new ScriptedPort()
  concordat = Concordat.over(port, { closeTimeoutMs: 500 })
  tickets = []
  answer = (request, response) => report(request, response)
  const server = createServer((request, response) => {
    tickets.push(String(request.headers['concordat-tx']))
    answer(request, response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  return async () => {
    await concordat.close()
    server.closeAllConnections()
    server.close()
  }
})

interface Said {
  readonly status?: number
  readonly state?: 'joined' | 'failed'
  readonly call?: number
  /** How many of its numbers the service used. */
  readonly used?: number
  readonly branches?: readonly ReportedBranch[]
  readonly txid?: string
}

function report(request: IncomingMessage, response: ServerResponse, said: Said = {}): void {
  const ticket = parseCallTicket(String(request.headers['concordat-tx']))
  const { status = 200, state = 'joined', call = ticket.call, used = 1, txid = ticket.txid } = said
  const own = ticket.numbers.slice(0, used).map((branch) => ({ branch, kind: 'service' as const, participant: STOCK }))
  const { branches = own } = said
  const value = formatCallReport({ txid: txid as typeof ticket.txid, call, state, branches })
  response.writeHead(status, { [REPORT_HEADER]: value }).end('{}')
}

async function failure(work: Promise<unknown>): Promise<TransactionAbortedError> {
  const error: unknown = await work.then(
    () => expect.unreachable('it should have failed'),
    (thrown: unknown) => thrown,
  )
  return error as TransactionAbortedError
}

/** A transaction whose callback goes on whatever its call did. */
function careless(call: (tx: Transaction) => Promise<unknown>): Promise<unknown> {
  return concordat.transaction({ timeoutMs: 3_000 }, (tx) => call(tx).catch(() => undefined))
}

describe('tx.fetch', () => {
  test('the commit covers what the called service reports, beside the own branch', async () => {
    const flights = new MemoryResource('flights')
    const status = await concordat.transaction(async (tx) => {
      await tx.enlist(flights)
      return (await tx.fetch(url, { method: 'POST', headers: { 'x-own': '1' }, body: '{}' })).status
    })
    expect(status).toBe(200)
    const { txid, call, cluster, timeoutMs } = parseCallTicket(tickets[0] ?? '')
    expect({ call, cluster }).toEqual({ call: 0, cluster: 'scripted' })
    expect(timeoutMs).toBeGreaterThan(29_000)
    expect(port.commits).toMatchObject([{ txid }])
    expect(port.commits[0]?.branches).toMatchObject([
      { branch: 0, kind: 'local', participant: 'flights', vote: 'commit' },
      { branch: 56, kind: 'service', participant: STOCK, vote: undefined },
    ])
  })

  test('calls at the same time get numbers of their own, and what they do not use comes back', async () => {
    await concordat.transaction(async (tx) => {
      await Promise.all([tx.fetch(url), tx.fetch(url), tx.fetch(url)])
      for (let i = 0; i < 50; i++) await tx.fetch(url)
    })
    const numbers = port.commits[0]?.branches.map(({ branch }) => branch) ?? []
    expect([numbers.length, new Set(numbers).size]).toEqual([53, 53])
    const first = tickets.slice(0, 3).flatMap((ticket) => parseCallTicket(ticket).numbers)
    expect(new Set(first).size).toBe(first.length)
  })

  test('the 65th branch is refused before anything is sent, and nothing commits', async () => {
    const error = await failure(
      concordat.transaction(async (tx) => {
        for (let i = 0; i < 65; i++) await tx.fetch(url, {}, { branches: 1 })
      }),
    )
    expect(error).toBeInstanceOf(TooManyBranchesError)
    expect(tickets).toHaveLength(64)
    expect(port.commits).toEqual([])
  })

  const UNKNOWN: readonly [string, () => void][] = [
    [
      'an answer without a report',
      () => {
        answer = (_request, response) => response.end('hello')
      },
    ],
    [
      'a gateway’s 502',
      () => {
        answer = (_request, response) => response.writeHead(502).end()
      },
    ],
    [
      'a connection that breaks',
      () => {
        answer = (request) => request.socket.destroy()
      },
    ],
    [
      'a report of another transaction (a cache)',
      () => {
        const txid = '01977420-dc00-7303-8303-030303030303'
        answer = (request, response) => report(request, response, { txid })
      },
    ],
    [
      'a report of another call',
      () => {
        answer = (request, response) => report(request, response, { call: 9 })
      },
    ],
    [
      'numbers that the call was not given',
      () => {
        const branches = [{ branch: 0, kind: 'service', participant: STOCK }] as unknown as ReportedBranch[]
        answer = (request, response) => report(request, response, { branches })
      },
    ],
    [
      'one number twice',
      () => {
        const branches = [63, 63].map((branch) => ({ branch, kind: 'service', participant: STOCK }))
        answer = (request, response) => report(request, response, { branches: branches as unknown as ReportedBranch[] })
      },
    ],
    [
      'a call that failed',
      () => {
        answer = (request, response) => report(request, response, { status: 500, state: 'failed', used: 0 })
      },
    ],
  ]

  test.each(UNKNOWN)('P1: %s aborts the transaction, even if the callback goes on', async (_what, arrange) => {
    arrange()
    const flights = new MemoryResource('flights')
    const error = await failure(
      careless(async (tx) => {
        await tx.enlist(flights)
        await tx.fetch(url)
      }),
    )
    expect(error).toBeInstanceOf(TransactionAbortedError)
    expect(error).toMatchObject({ reason: 'callFailed', retryable: true })
    expect(port.commits).toEqual([])
    expect(flights.branches[0]?.log).toEqual(['abort'])
    // Whoever joined without being reported hears of the abort when it asks.
    await concordat.close()
    expect(port.aborts).toMatchObject([{ txid: error.txid }])
  })

  test.each(UNKNOWN)('an optional call goes without: %s', async (_what, arrange) => {
    arrange()
    const flights = new MemoryResource('flights')
    await careless(async (tx) => {
      await tx.enlist(flights)
      await tx.enlist(new MemoryResource('hotels'))
      await tx.fetch(url, {}, { optional: true })
    })
    expect(port.commits[0]?.branches.map(({ participant }) => participant)).toEqual(['flights', 'hotels'])
  })

  test('what a failed call says of others is told to the coordinators with the abort', async () => {
    answer = (request, response) => report(request, response, { status: 409, state: 'failed', used: 2 })
    const error = await failure(careless((tx) => tx.fetch(url)))
    expect(error).toMatchObject({ reason: 'callFailed', retryable: false })
    await concordat.close()
    expect(port.aborts[0]?.branches).toMatchObject([{ participant: STOCK }, { participant: STOCK }])
  })

  test('a call that nobody awaited aborts', async () => {
    answer = () => {}
    const error = await failure(concordat.transaction((tx) => void tx.fetch(url).catch(() => {})))
    // Whether it has left when the callback ends is a matter of turns.
    expect(error.message).toMatch(/nobody knows what came of call 0|has ended/)
    expect(port.commits).toEqual([])
  })

  test('a redirect is not followed: the header goes to nobody else', async () => {
    answer = (request, response) => {
      response.setHeader('location', `${url}elsewhere`)
      report(request, response, { status: 307 })
    }
    const status = await concordat.transaction(async (tx) => (await tx.fetch(url)).status)
    expect(status).toBe(307)
    expect(tickets).toHaveLength(1)
    const error = await failure(concordat.transaction((tx) => tx.fetch(url, { redirect: 'follow' })))
    expect(error).toBeInstanceOf(InvalidOptionsError)
    expect(tickets).toHaveLength(1)
  })

  test('the transaction’s end ends the call', async () => {
    answer = () => {}
    const error = await failure(concordat.transaction({ timeoutMs: 200 }, (tx) => tx.fetch(url)))
    expect(error).toMatchObject({ code: 'TXN_ABORTED', reason: 'deadline' })
  })

  test('after the callback nothing is sent', async () => {
    const tx = await concordat.transaction((given) => given)
    await expect(tx.fetch(url)).rejects.toBeInstanceOf(TransactionEndedError)
    await expect(tx.headers()).rejects.toBeInstanceOf(TransactionEndedError)
    expect(tickets).toEqual([])
  })
})

describe('tx.headers and tx.joined, for other clients', () => {
  /** What axios and node:http give: an object, here with the names in lower case. */
  async function call(tx: Transaction): Promise<Record<string, string>> {
    const response = await fetch(url, { headers: await tx.headers({ branches: 2 }) })
    return Object.fromEntries(response.headers)
  }

  test('an answer’s headers bring its branches in, whatever their shape', async () => {
    await concordat.transaction(async (tx) => {
      tx.joined(await call(tx))
      tx.joined(new Headers(await call(tx)))
      const plain = await call(tx)
      tx.joined({ ...plain, [REPORT_HEADER]: [plain[REPORT_HEADER] ?? ''] })
    })
    expect(port.commits[0]?.branches).toHaveLength(3)
  })

  test('P1: headers that were taken, and of which no answer was handed in, abort the transaction', async () => {
    const error = await failure(concordat.transaction(async (tx) => void (await call(tx))))
    expect(error).toMatchObject({ code: 'TXN_ABORTED', reason: 'callFailed' })
    expect(port.commits).toEqual([])
  })

  test('the same answer twice, and an answer without a report, are refused', async () => {
    const twice = await failure(
      concordat.transaction(async (tx) => {
        const headers = await call(tx)
        tx.joined(headers)
        tx.joined(headers)
      }),
    )
    expect(twice).toMatchObject({ reason: 'callFailed' })
    const none = await failure(careless(async (tx) => tx.joined({ ...(await call(tx)), [REPORT_HEADER]: undefined })))
    expect(none).toMatchObject({ reason: 'callFailed' })
    expect(port.commits).toEqual([])
  })

  test('an optional call may stay without an answer', async () => {
    await concordat.transaction(async (tx) => {
      await tx.enlist(new MemoryResource('flights'))
      await tx.headers({ optional: true })
    })
  })

  test('options are checked', async () => {
    for (const branches of [0, 65, 1.5]) {
      const error = await failure(concordat.transaction((tx) => tx.headers({ branches })))
      expect(error).toBeInstanceOf(InvalidOptionsError)
    }
  })
})
