import { expect, test } from 'vitest'
import { isParticipantName, makeTxid, parseBranchId } from '../base/index.ts'
import type { ParticipantMessage } from '../coordinator/index.ts'
import { type Instance, ParticipantRegistry } from './participant-registry.ts'

const txid = makeTxid(1_750_000_000_000, new Uint8Array(10).fill(7))
const branch = parseBranchId(1)
const prepare: ParticipantMessage = { kind: 'prepare', txid, branch, participant: 'mail', timeoutMs: 1_000 }
const commit: ParticipantMessage = { kind: 'decision', txid, branch, decision: 'commit' }

/** Notes what it is sent, unless its queue is full. */
class NotingInstance implements Instance {
  readonly got: ParticipantMessage['kind'][] = []
  isFull = false

  send(message: ParticipantMessage): boolean {
    if (this.isFull) return false
    this.got.push(message.kind)
    return true
  }
}

function setUp(count: number): { registry: ParticipantRegistry; instances: NotingInstance[] } {
  const registry = new ParticipantRegistry([])
  const instances = Array.from({ length: count }, () => new NotingInstance())
  for (const instance of instances) registry.enter('mail', instance)
  return { registry, instances }
}

function gotOf(instances: readonly NotingInstance[]): readonly (readonly string[])[] {
  return instances.map(({ got }) => got)
}

test('a name is known once it is configured or has registered, also while every instance is away', () => {
  const registry = new ParticipantRegistry(['configured'])
  const instance = new NotingInstance()
  expect([registry.knows('configured'), registry.knows('mail')]).toEqual([true, false])
  registry.enter('mail', instance)
  registry.leave('mail', instance)
  expect(registry.knows('mail')).toBe(true)
})

test('the list has every name that is known, with its connected instances', () => {
  const registry = new ParticipantRegistry(['configured'])
  const instance = new NotingInstance()
  registry.enter('mail', instance)
  registry.enter('mail', new NotingInstance())
  registry.leave('mail', instance)
  expect(registry.list()).toEqual([
    { name: 'configured', instances: 0 },
    { name: 'mail', instances: 1 },
  ])
})

test('PREPARE goes to every instance of the name, and to no other', () => {
  const { registry, instances } = setUp(2)
  const other = new NotingInstance()
  registry.enter('payments', other)
  registry.send('mail', prepare)
  expect(gotOf([...instances, other])).toEqual([['prepare'], ['prepare'], []])
})

test('a decision goes to the instance that voted, and to it alone', () => {
  const { registry, instances } = setUp(3)
  registry.voted(txid, branch, instances[1]!)
  registry.send('mail', commit)
  registry.send('mail', commit)
  expect(gotOf(instances)).toEqual([[], ['decision', 'decision'], []])
})

test('when the instance that voted is gone, another one is told', () => {
  const { registry, instances } = setUp(2)
  registry.voted(txid, branch, instances[0]!)
  registry.leave('mail', instances[0]!)
  registry.send('mail', commit)
  expect(gotOf(instances)).toEqual([[], ['decision']])
})

test('one that is told and told and does not acknowledge loses the branch to the next one', () => {
  const { registry, instances } = setUp(2)
  registry.voted(txid, branch, instances[0]!)
  for (let i = 0; i < 5; i++) registry.send('mail', commit)
  expect(instances[0]?.got).toHaveLength(4)
  expect(instances[1]?.got).toEqual(['decision'])
})

test('a decision without a voter goes to one instance, and another branch of it to the next', () => {
  const { registry, instances } = setUp(2)
  registry.send('mail', commit)
  registry.send('mail', { ...commit, branch: parseBranchId(2) })
  expect(gotOf(instances)).toEqual([['decision'], ['decision']])
})

test('an instance that does not read keeps nobody from its decision', () => {
  const { registry, instances } = setUp(2)
  registry.voted(txid, branch, instances[0]!)
  instances[0]!.isFull = true
  registry.send('mail', commit)
  expect(gotOf(instances)).toEqual([[], ['decision']])
})

test('a lone instance is told again and again', () => {
  const { registry, instances } = setUp(1)
  for (let i = 0; i < 9; i++) registry.send('mail', commit)
  expect(instances[0]?.got).toHaveLength(9)
})

test('what is acknowledged is forgotten', () => {
  const { registry, instances } = setUp(2)
  registry.voted(txid, branch, instances[1]!)
  registry.acknowledged(txid, [branch])
  registry.send('mail', commit)
  expect(gotOf(instances)).toEqual([['decision'], []])
})

test('a joined name is forgotten with its process: nobody waits for a vote that can’t come', () => {
  const { registry, instances } = setUp(1)
  const name = 'joined.0123456789ab.stock'
  registry.enter(name, instances[0]!)
  expect(registry.knows(name)).toBe(true)
  registry.leave(name, instances[0]!)
  expect([registry.knows(name), registry.knows('mail')]).toEqual([false, true])
  expect(registry.list().map((each) => each.name)).toEqual(['mail'])
})

test('names have 1 to 64 plain characters', () => {
  expect(['mail', 'a.b_c-1', 'x'.repeat(64)].map(isParticipantName)).toEqual([true, true, true])
  expect(['', 'a b', 'é', 'x'.repeat(65)].map(isParticipantName)).toEqual([false, false, false, false])
})
