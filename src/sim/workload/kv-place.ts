import type { Transaction } from '../../client/index.ts'
import { type KeyValueStore, kv } from '../../kv/index.ts'
import type { SimProcess } from '../kernel/types.ts'
import type { Attempt, FoundState } from '../oracle/index.ts'
import type { KvMachine } from '../participants/kv-machine.ts'
import type { Leg } from './operation.ts'
import type { Place, PlaceClient } from './place.ts'
import { Refused } from './transfer.ts'

/** Entries of one page when the store is read at the end. */
const PAGE = 100

/** Accounts in a key-value participant. A key holds what was moved; the opening balance is not written down. */
export class KvPlace implements Place {
  readonly name: string
  readonly accounts: number
  readonly openingBalance: number
  readonly machine: KvMachine

  constructor(machine: KvMachine, accounts: number, openingBalance: number) {
    this.name = machine.name
    this.machine = machine
    this.accounts = accounts
    this.openingBalance = openingBalance
  }

  open(process: SimProcess): PlaceClient {
    return new KvClient(this, this.store(process))
  }

  /** The production client in a process. */
  store({ clock, network, random, randomFill }: SimProcess): KeyValueStore {
    return kv(
      { name: this.name, address: this.machine.address, timeoutMs: 5_000 },
      { clock, network, random: () => random.uint32() / 2 ** 32, randomFill, hold: () => () => {} },
    )
  }

  /** All that is committed, read over the network. @throws KvError */
  async read(store: KeyValueStore): Promise<FoundState> {
    const { name: database, openingBalance } = this
    const balances: number[] = new Array(this.accounts).fill(openingBalance)
    const effects: FoundState['effects'][number][] = []
    for (let from: string | undefined = ''; from !== undefined; ) {
      const page = await store.scan({ from, limit: PAGE })
      for (const { key, value } of page.entries) {
        const [kind, of = ''] = key.split('/')
        if (kind === 'account') balances[Number(of)]! += Number(value)
        else {
          const [operation = '', account, amount] = String(value).split(' ')
          effects.push({ database, operation, txid: of, account: Number(account), amount: Number(amount) })
        }
      }
      from = page.next
    }
    return { effects, accounts: balances.map((balance, account) => ({ database, account, balance })) }
  }
}

class KvClient implements PlaceClient {
  readonly failing = undefined
  readonly #place: KvPlace
  readonly #store: KeyValueStore

  constructor(place: KvPlace, store: KeyValueStore) {
    this.#place = place
    this.#store = store
  }

  async work(tx: Transaction, operation: string, { account, amount }: Leg, attempt: Attempt): Promise<number> {
    const { name, openingBalance } = this.#place
    const branch = await tx.enlist(this.#store)
    const key = `account/${account}`
    // A read's lock is shared, and held until the transaction's end.
    if (amount === 0) return openingBalance + Number((await branch.get(key)) ?? 0)
    const balance = openingBalance + (await branch.add(key, amount))
    if (balance < 0) throw new Refused(`account ${account} is short`)
    attempt.effects.push({ database: name, account, amount })
    await branch.put(`entry/${tx.txid}/${attempt.effects.length}`, `${operation} ${account} ${amount}`)
    return balance - amount
  }

  close(): Promise<void> {
    return this.#store.close()
  }
}
