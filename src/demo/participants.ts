import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stringify } from 'yaml'
import { CLUSTER, type Companies, type Places } from './companies.ts'
import { PROGRAM } from './fleet.ts'
import { Part } from './part.ts'

const TICKETS_PROGRAM = fileURLToPath(new URL('./tickets.js', import.meta.url))

/** Accounts; every fiftieth is poor, so that some bookings fail for want of money. */
export const ACCOUNTS = 2_000
const RICH = 1_000_000_000
/** Puts under way at a time while the accounts are made; what the participant takes is well beyond. */
const PUTS = 200
const READY_MS_MAX = 20_000

/** Money that exists at the start: it must be the same at the end, in balances and payments together. */
export const MONEY = accounts().reduce((sum, [, balance]) => sum + BigInt(balance), 0n)

/** The two companies that are no databases: payments in a key-value participant, tickets from a service over HTTP. */
export class Participants {
  readonly parts: readonly Part[]
  /** One line each: what runs here, for people. */
  readonly described: readonly string[]

  /** Starts both. */
  constructor(directory: string, places: Places, ticketsSecret: string, onUnexpectedEnd: (line: string) => void) {
    const { payments, tickets, coordinators } = places
    const home = join(directory, 'payments')
    mkdirSync(home)
    const configFile = join(home, 'payments.yaml')
    const rules = [{ kind: 'notBelowZero', prefix: 'balance/' }]
    writeFileSync(
      configFile,
      stringify({ cluster: CLUSTER, name: 'payments', data: './data', listen: payments, coordinators, rules }),
    )
    const ticketsHome = join(directory, 'tickets')
    mkdirSync(ticketsHome)
    const env = {
      TICKETS_DATABASE: tickets.database,
      TICKETS_JOURNAL: join(ticketsHome, 'journal'),
      TICKETS_PORT: new URL(tickets.url).port,
      TICKETS_SECRET: ticketsSecret,
    }
    const args = [PROGRAM, 'participant', 'kv', '--config', configFile]
    this.parts = [
      new Part({ name: 'payments', args, logFile: join(home, 'log') }, onUnexpectedEnd),
      new Part({ name: 'tickets', args: [TICKETS_PROGRAM], env, logFile: join(ticketsHome, 'log') }, onUnexpectedEnd),
    ]
    for (const part of this.parts) part.start()
    this.described = [
      `payments key-value participant on port ${payments.split(':')[1]}`,
      `tickets  service over HTTP on port ${env.TICKETS_PORT}`,
    ]
  }

  /** Waits until both answer, and fills the accounts. @throws Error when one does not come up */
  async fill({ payments, places }: Companies): Promise<void> {
    await ready('payments', () => payments.get('balance/1'))
    await ready('tickets', () => fetch(`${places.tickets.url}/in-doubt`))
    const all = accounts()
    for (let from = 0; from < all.length; from += PUTS) {
      await Promise.all(all.slice(from, from + PUTS).map(([id, balance]) => payments.put(`balance/${id}`, balance)))
    }
  }

  /** Ends both in order, then harder. */
  async stop(): Promise<void> {
    await Promise.all(this.parts.map((part) => part.stop()))
  }
}

function accounts(): readonly (readonly [id: number, balance: number])[] {
  return Array.from({ length: ACCOUNTS }, (_, index) => [index + 1, (index + 1) % 50 === 0 ? 0 : RICH])
}

async function ready(name: string, ask: () => Promise<unknown>): Promise<void> {
  const deadlineMs = performance.now() + READY_MS_MAX
  for (;;) {
    try {
      await ask()
      return
    } catch (cause) {
      if (performance.now() > deadlineMs)
        throw new Error(`${name} did not answer within ${READY_MS_MAX / 1_000} s`, { cause })
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
}
