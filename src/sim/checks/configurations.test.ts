import { expect, test } from 'vitest'
import { parseNodeId } from '../../base/index.ts'
import type { Configuration, LogIndex } from '../../raft/index.ts'
import { Configurations } from './configurations.ts'

function configuration(voters: readonly number[], votersOutgoing: readonly number[] = []): Configuration {
  const ids = (numbers: readonly number[]) => numbers.map((number) => parseNodeId(number))
  return {
    voters: ids(voters),
    votersOutgoing: ids(votersOutgoing),
    learners: [],
    learnersNext: [],
    rebuilding: [],
    retired: [],
  }
}

/** What is said of these configurations, which come in force one after the other behind voters 1, 2 and 3. */
function complaints(...chain: readonly Configuration[]): readonly string[] {
  const said: string[] = []
  const world = { fail: (check: string) => void said.push(check) }
  const configurations = new Configurations(world, configuration([1, 2, 3]).voters)
  for (const [at, each] of chain.entries()) {
    configurations.look({
      kind: 'configurationChanged',
      configuration: each,
      context: new Uint8Array(0),
      index: (at + 1) as LogIndex,
      confirmed: false,
    })
  }
  return said
}

test('one voter more or less, and joint changes from beginning to end, are lawful', () => {
  expect(complaints(configuration([1, 2, 3, 4]), configuration([1, 2, 4]))).toEqual([])
  expect(
    complaints(configuration([3, 4, 5], [1, 2, 3]), configuration([3, 4, 5]), configuration([3, 4, 5, 6])),
  ).toEqual([])
})

test.each<[string, readonly Configuration[]]>([
  ['two voters at once', [configuration([1, 2, 4])]],
  ['a joint change that begins elsewhere', [configuration([3, 4, 5], [1, 2])]],
  ['a joint change that ends elsewhere', [configuration([3, 4, 5], [1, 2, 3]), configuration([1, 2, 3])]],
  ['a joint change in another', [configuration([3, 4, 5], [1, 2, 3]), configuration([3, 4, 6], [3, 4, 5])]],
])('%s is not', (_, chain) => {
  expect(complaints(...chain)).toEqual(['neighbouringConfigurations'])
})

test('a learner that is being rebuilt counts as the voter that it will soon be again', () => {
  const fail = (check: string) => expect.unreachable(check)
  const configurations = new Configurations({ fail }, configuration([1, 2, 3, 4]).voters)
  const rebuilding = [parseNodeId(1)]
  configurations.look({
    kind: 'configurationChanged',
    configuration: { ...configuration([2, 3, 4]), learners: rebuilding, rebuilding },
    context: new Uint8Array(0),
    index: 1 as LogIndex,
    confirmed: false,
  })
  expect(configurations.inForce).toEqual([[2, 3, 4]])
  expect(configurations.all).toContainEqual([2, 3, 4, 1])
})
