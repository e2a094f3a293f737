import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { beforeEach, expect, onTestFinished, test } from 'vitest'
import { Concordat, service, type TransactionAbortedError } from '../../src/client/index.ts'
import { type KeyValueStore, kv } from '../../src/kv/index.ts'
import { keyValueParticipant } from '../../src/participant/index.ts'
import { Fleet } from '../support/fleet.support.ts'
import { concordat as command, root } from '../support/program.support.ts'
import { pause, until } from '../support/waiting.support.ts'
import { application } from './booking.support.ts'
import { Brake, KvProcess } from './key-value.support.ts'
import type { KvApplicationOrders } from './key-value-application.ts'

const APPLICATION = fileURLToPath(new URL('./key-value-application.ts', import.meta.url))

let fleet: Fleet
let concordat: Concordat
let accounts: KvProcess
let stock: KvProcess
let accountsStore: KeyValueStore
let stockStore: KeyValueStore

beforeEach(async () => {
  fleet = await Fleet.start({ config: { participants: ['accounts', 'stock'] } })
  concordat = application(fleet)
  ;[accounts, stock] = await Promise.all([
    KvProcess.start(fleet, 'accounts', { rules: [{ kind: 'notBelowZero', prefix: 'account/' }] }),
    KvProcess.start(fleet, 'stock'),
  ])
  accountsStore = accounts.store()
  stockStore = stock.store()
})

async function failure(work: Promise<unknown>): Promise<TransactionAbortedError & { readonly code: string }> {
  return work.then(
    () => expect.unreachable('it should have failed'),
    (error: unknown) => error as never,
  )
}

/** Moves one from an account to the stock, with the vote of a service that waits for the test. */
function braked(brake: Brake): Promise<void> {
  return concordat.transaction({ timeoutMs: 60_000 }, async (tx) => {
    await brake.work((await tx.enlist(brake.service)).ticket())
    await (await tx.enlist(accountsStore)).add('account/ada', -1)
    await (await tx.enlist(stockStore)).add('stock/pears', 1)
  })
}

function startApplication(
  orders: Omit<KvApplicationOrders, 'coordinators'>,
): ChildProcessByStdio<null, Readable, null> {
  const given = JSON.stringify({ coordinators: fleet.addresses, ...orders })
  const child = spawn(process.execPath, ['--import', 'tsx', APPLICATION, given], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  return child
}

async function crashApplication(orders: Omit<KvApplicationOrders, 'coordinators'>): Promise<string> {
  const child = startApplication(orders)
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    output += chunk
  })
  await once(child, 'close')
  expect(child.signalCode, output).toBe('SIGKILL')
  return output.trim()
}

test('P1: two participants commit together or not at all, and reads outside see whole transactions only', async () => {
  await accountsStore.put('account/ada', 10)
  const found = await concordat.transaction(async (tx) => {
    const [from, to] = [await tx.enlist(accountsStore), await tx.enlist(stockStore)]
    await Promise.all([from.add('account/ada', -4), to.put('stock/pears', 4), to.put('stock/figs', 'few')])
    return [await from.get('account/ada'), (await to.scan({ prefix: 'stock/' })).entries]
  })
  expect(found).toEqual([
    6,
    [
      { key: 'stock/figs', value: 'few' },
      { key: 'stock/pears', value: 4 },
    ],
  ])
  // The decision may still be on its way: whoever reads waits for it.
  expect([await accountsStore.get('account/ada'), await stockStore.get('stock/pears')]).toEqual([6, 4])

  const broken = await failure(
    concordat.transaction(async (tx) => {
      await (await tx.enlist(stockStore)).put('stock/pears', 100)
      await (await tx.enlist(accountsStore)).add('account/ada', -7)
    }),
  )
  expect(broken).toMatchObject({ code: 'TXN_ABORTED', reason: 'votedAbort', participant: 'accounts', retryable: false })
  expect(broken.cause).toMatchObject({ code: 'KV_CONSTRAINT', message: expect.stringContaining('would hold -1') })
  expect([await accountsStore.get('account/ada'), await stockStore.get('stock/pears')]).toEqual([6, 4])
})

test('P4, P7: kill -9 after the vote: the branch is in doubt over the restart, keeps its locks, and commits', async () => {
  await accountsStore.put('account/ada', 10)
  const brake = await Brake.start(fleet)
  const transaction = braked(brake)
  await accounts.inDoubt(1)
  await accounts.kill()
  await accounts.restart()
  const [branch] = (await accounts.inDoubt(1)).inDoubt
  expect(branch).toMatchObject({ keys: 1, blocks: [] })

  // Nobody sees what it had, or what it is about to be.
  const reading = accountsStore.get('account/ada')
  await until('the reader waits for it', async () => (await accounts.status())?.inDoubt[0]?.blocks.length === 1)
  const shown = await command(['participant', 'status', '--address', accounts.address])
  expect(shown.stdout).toMatch(/IN DOUBT .*\n/)
  expect(shown.stdout).toContain(branch?.txid)
  const json = await command(['participant', 'status', '--address', accounts.address, '--json'])
  expect(JSON.parse(json.stdout)).toMatchObject({ name: 'accounts', inDoubtCount: 1 })

  brake.release()
  await transaction
  expect(await reading).toBe(9)
  expect(await stockStore.get('stock/pears')).toBe(1)
  await Promise.all([accounts.inDoubt(0), stock.inDoubt(0)])
})

test('P7: kill -9 of a participant, and of all coordinators, while it is in doubt: the decision comes in the end', async () => {
  await accountsStore.put('account/ada', 10)
  const brake = await Brake.start(fleet)
  const transaction = braked(brake)
  transaction.catch(() => {})
  await Promise.all([accounts.inDoubt(1), stock.inDoubt(1)])
  await fleet.kill(...fleet.running)
  await accounts.kill()
  await accounts.restart()
  await pause(1_500)
  await accounts.inDoubt(1)
  fleet.startAll()
  brake.release()
  await Promise.all([accounts.inDoubt(0), stock.inDoubt(0)])
  const [money, pears] = [await accountsStore.get('account/ada'), await stockStore.get('stock/pears')]
  expect([
    [9, 1],
    [10, undefined],
  ]).toContainEqual([money, pears])
})

test('a branch of before a restart does not go on as an empty one: its next call fails, and so does its commit', async () => {
  await accountsStore.put('account/ada', 10)
  const next = await failure(
    concordat.transaction(async (tx) => {
      const branch = await tx.enlist(accountsStore)
      await branch.add('account/ada', -1)
      await accounts.kill()
      await accounts.restart()
      await branch.add('account/ada', -1)
    }),
  )
  expect(next).toMatchObject({ code: 'KV_BRANCH_LOST', retryable: true })

  const commit = await failure(
    concordat.transaction(async (tx) => {
      await (await tx.enlist(stockStore)).add('stock/pears', 1)
      await (await tx.enlist(accountsStore)).add('account/ada', -1)
      await accounts.kill()
      await accounts.restart()
    }),
  )
  expect(commit).toMatchObject({ code: 'TXN_ABORTED', participant: 'accounts', retryable: true })
  expect([await accountsStore.get('account/ada'), await stockStore.get('stock/pears')]).toEqual([10, undefined])
})

test('PREPARE for a branch that a restart ended is a vote to abort, at once', async () => {
  const port = fleet.port()
  const clusterId = await port.clusterId({ timeoutMs: 5_000 })
  const txid = await concordat.transaction((tx) => tx.txid)
  const branch = {
    branch: 0 as never,
    kind: 'kv',
    participant: 'accounts',
    vote: undefined,
    evidence: undefined,
  } as const
  const begunMs = performance.now()
  const reply = await port.commit({ clusterId, txid, timeoutMs: 20_000, branches: [branch] })
  expect(reply).toMatchObject({ outcome: { kind: 'aborted', reason: 'votedAbort', participant: 'accounts' } })
  expect(performance.now() - begunMs).toBeLessThan(5_000)
})

test('an application is killed mid-branch: its locks are free at once, and nothing of it is left', async () => {
  await stockStore.put('stock/pears', 1)
  const stores = [stock, accounts].map(({ name, address }) => ({ name, address }))
  await crashApplication({ stores, key: 'stock/pears', die: 'beforeCommit' })
  const begunMs = performance.now()
  expect(await stockStore.get('stock/pears')).toBe(1)
  expect(performance.now() - begunMs).toBeLessThan(5_000)
  await until('nothing is at work', async () => {
    const statuses = await Promise.all([stock.status(), accounts.status()])
    return statuses.every((status) => status?.open === 0 && status.transactions === 0)
  })
})

test('who stands still loses its branches by its silence: an application, and a participant', async () => {
  await stockStore.put('stock/pears', 1)
  const stores = [{ name: stock.name, address: stock.address }]
  const frozen = startApplication({ stores, key: 'stock/pears', die: 'frozenBeforeCommit' })
  await until('it works in its branch', async () => (await stock.status())?.open === 1)
  // Sooner than by the time of its transaction or of a lock.
  const begunMs = performance.now()
  expect(await stockStore.get('stock/pears')).toBe(1)
  expect(performance.now() - begunMs).toBeLessThan(9_500)
  frozen.kill('SIGKILL')

  const lost = await failure(
    concordat.transaction(async (tx) => {
      const branch = await tx.enlist(stockStore)
      await branch.put('stock/pears', 2)
      stock.signal('SIGSTOP')
      await branch.put('stock/pears', 3)
    }),
  )
  expect(lost).toMatchObject({ code: 'KV_BRANCH_LOST', retryable: true })
  stock.signal('SIGCONT')
  expect(await stockStore.get('stock/pears')).toBe(1)
})

test('P1: an application is killed right after its commit request: both participants have it, or neither', async () => {
  const stores = [stock, accounts].map(({ name, address }) => ({ name, address }))
  for (let round = 0; round < 3; round++) {
    await crashApplication({ stores, key: 'both', die: 'afterCommitRequest' })
    const [one, other] = [await stockStore.get('both'), await accountsStore.get('both')]
    expect(one).toBe(other)
  }
})

test('a deadlock fails the younger with a retryable code; run again it commits', async () => {
  let deadlocks = 0
  const move = async (first: string, second: string): Promise<void> => {
    for (;;) {
      try {
        await concordat.transaction(async (tx) => {
          const branch = await tx.enlist(accountsStore)
          await branch.add(first, 1)
          await pause(100)
          await branch.add(second, 1)
        })
        return
      } catch (error) {
        expect(error).toMatchObject({ code: 'KV_DEADLOCK', retryable: true })
        deadlocks += 1
      }
    }
  }
  await Promise.all([move('a', 'b'), move('b', 'a')])
  expect(deadlocks).toBeGreaterThan(0)
  expect([await accountsStore.get('a'), await accountsStore.get('b')]).toEqual([2, 2])
})

test('a lone participant commits in one phase, without any coordinator', async () => {
  await concordat.transaction((tx) => tx.enlist(accountsStore))
  await fleet.kill(...fleet.running)
  await concordat.transaction(async (tx) => (await tx.enlist(accountsStore)).put('account/bob', 3))
  expect(await accountsStore.get('account/bob')).toBe(3)
  const broken = concordat.transaction(async (tx) => (await tx.enlist(accountsStore)).add('account/bob', -4))
  expect(await failure(broken)).toMatchObject({ code: 'TXN_ABORTED', participant: 'accounts' })
})

test('SIGTERM lets transactions come to their end, and ends with 0; who uses it waits for the next start', async () => {
  const brake = await Brake.start(fleet)
  await accountsStore.put('account/ada', 10)
  const transaction = braked(brake)
  await accounts.inDoubt(1)
  const ended = accounts.end('SIGTERM')
  await pause(200)
  brake.release()
  await transaction
  expect(await ended).toEqual({ code: 0, signal: null })
  expect(accounts.log).toContain('"msg":"stopped"')
  const reading = accountsStore.get('account/ada')
  await accounts.restart()
  expect(await reading).toBe(9)
  expect((await accounts.status())?.inDoubtCount).toBe(0)
})

test('a participant in the application’s own process takes part without a port, and goes on where it was', async () => {
  const options = {
    name: 'own',
    coordinators: fleet.addresses,
    clusterId: fleet.cluster,
    data: join(fleet.directory, 'own'),
  }
  const own = await keyValueParticipant(options)
  expect(own.port).toBe(0)
  await until('the coordinators know it', async () => {
    const { participants } = await fleet.leader()
    return participants?.some(({ name, instances }) => name === 'own' && instances > 0)
  })
  await concordat.transaction(async (tx) => {
    await (await tx.enlist(own.store)).put('a', 'here')
    await (await tx.enlist(accountsStore)).put('a', 'there')
  })
  expect([await own.store.get('a'), await accountsStore.get('a')]).toEqual(['here', 'there'])
  await expect(keyValueParticipant(options)).rejects.toMatchObject({ code: 'WAL_LOCKED' })
  await own.close()
  await expect(keyValueParticipant({ ...options, name: 'other' })).rejects.toMatchObject({ code: 'KV_NAME_CHANGED' })
  const again = await keyValueParticipant(options)
  onTestFinished(() => again.close())
  expect(await again.store.get('a')).toBe('here')
})

test('a wrong address is told by either side: a coordinator is no participant, and a participant no coordinator', async () => {
  const wrong = kv({ name: 'accounts', address: fleet.addresses[0] ?? '', timeoutMs: 3_000 })
  onTestFinished(() => wrong.close())
  const error = await failure(wrong.get('a'))
  expect(error).toMatchObject({ code: 'KV_UNAVAILABLE', message: expect.stringContaining('WRONG_SERVICE') })
  const lost = new Concordat({ coordinators: [accounts.address] })
  onTestFinished(() => lost.close())
  const unavailable = await failure(lost.transaction({ timeoutMs: 1_000 }, (tx) => tx.enlist(service('any'))))
  expect(unavailable.message).toContain('WRONG_SERVICE')
})

test('P7: when its data can’t be written the participant ends itself, and after the next start nothing is missing', async () => {
  await stock.end('SIGTERM')
  // Files end at 20 MB for this process, as on a disk that is full: the log fits, and the data soon does not.
  await stock.restart(['bash', '-c', 'trap "" XFSZ; ulimit -f 20000; exec "$@"', 'bash'])
  const ended = stock.ended()
  const told: string[] = []
  const value = 'x'.repeat(900_000)
  const writing = (async () => {
    for (let number = 0; number < 60; number++) {
      await stockStore.put(`big/${number}`, value)
      told.push(`big/${number}`)
    }
  })().catch((error: unknown) => error)
  expect(await ended).toEqual({ code: 1, signal: null })
  expect(stock.log).toMatch(/KV_STORE_FAILED|WAL_FAILED/)
  await stock.restart()
  await writing
  expect(told.length).toBeGreaterThan(8)
  for (const key of told) expect(await stockStore.get(key), key).toBe(value)
})
