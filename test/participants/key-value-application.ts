import { Concordat } from '../../src/client/index.ts'
import { kv } from '../../src/kv/index.ts'

/** What a test tells an application. */
export interface KvApplicationOrders {
  readonly coordinators: readonly string[]
  /** Where it adds 1 to `key`. */
  readonly stores: readonly { readonly name: string; readonly address: string }[]
  readonly key: string
  /** Where it kills itself. */
  readonly die: 'beforeCommit' | 'afterCommitRequest' | 'frozenBeforeCommit'
}

const { coordinators, stores, key, die } = JSON.parse(process.argv[2] ?? '') as KvApplicationOrders
const concordat = new Concordat({ coordinators })
const handles = stores.map((store) => kv(store))

function kill(): Promise<never> {
  process.kill(process.pid, 'SIGKILL')
  return new Promise(() => {})
}

await concordat.transaction(async (tx) => {
  for (const store of handles) await (await tx.enlist(store)).add(key, 1)
  console.log(tx.txid)
  if (die === 'frozenBeforeCommit') process.kill(process.pid, 'SIGSTOP')
  if (die === 'beforeCommit') await kill()
  // The decision takes two round trips and two writes: some of these lie behind it then, and some before it.
  else setTimeout(kill, 3)
})
console.log('the application survived its crash point')
