import { Concordat, service } from '../../src/client/index.ts'

/** What a test tells an application. */
export interface ApplicationOrders {
  readonly coordinators: readonly string[]
  readonly timeoutMs: number
  /** Which service, where, and what to ask of it. */
  readonly calls: readonly { readonly name: string; readonly url: string; readonly seat: string }[]
  /** Where it kills itself. */
  readonly die: 'beforeCommit' | 'afterCommitRequest'
}

const { coordinators, timeoutMs, calls, die } = JSON.parse(process.argv[2] ?? '') as ApplicationOrders
const concordat = new Concordat({ coordinators, timeoutMs })

function kill(): Promise<never> {
  process.kill(process.pid, 'SIGKILL')
  return new Promise(() => {})
}

await concordat.transaction(async (tx) => {
  for (const { name, url, seat } of calls) {
    const branch = await tx.enlist(service(name))
    const answer = await fetch(url, { method: 'POST', headers: branch.headers(), body: seat })
    if (!answer.ok) throw new Error(await answer.text())
  }
  console.log(tx.txid)
  if (die === 'beforeCommit') await kill()
  // The request has left by then, and the services are still busy with PREPARE.
  else setTimeout(kill, 300)
})
console.log('the application survived its crash point')
