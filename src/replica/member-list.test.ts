import { expect, test } from 'vitest'
import { parseNodeId } from '../base/index.ts'
import { type Configuration, type LogIndex, simpleConfiguration } from '../raft/index.ts'
import { encodeMemberContext } from './member-context.ts'
import { MemberList } from './member-list.ts'

const ids = (...nodeIds: readonly number[]) => nodeIds.map(parseNodeId)
const NO_CONTEXT = new Uint8Array(0)

function members(voters: readonly number[], retired: readonly number[] = []): Configuration {
  return { ...simpleConfiguration(ids(...voters)), retired: ids(...retired) }
}

/** Entries one after the other, from index 5 on; a change comes with addresses, its confirmation with nothing. */
function chain(...configurations: readonly (readonly [Configuration, 'change' | 'byItself'])[]): MemberList[] {
  const lists: MemberList[] = []
  let list = MemberList.from({ configuration: members([1, 2, 3]), context: NO_CONTEXT, index: 4 as LogIndex })
  for (const [at, [configuration, by]] of configurations.entries()) {
    const context =
      by === 'byItself' ? NO_CONTEXT : encodeMemberContext({ details: new Map(), forcedBecause: undefined })
    list = list.next({ configuration, context, index: (5 + at) as LogIndex })
    lists.push(list)
  }
  return lists
}

test('who was removed is dismissed once that is confirmed, and stays so whatever is changed next', () => {
  const lists = chain(
    [members([1, 2], [3]), 'change'],
    [members([1, 2], [3]), 'byItself'],
    [members([1, 2, 4], [3]), 'change'],
    [members([2, 4], [1, 3]), 'change'],
    [members([2, 4], [1, 3]), 'byItself'],
  )
  expect(lists.map(({ dismissed }) => [...dismissed])).toEqual([[], [3], [3], [3], [1, 3]])
  expect(lists.map(({ confirmed }) => confirmed)).toEqual([false, true, false, false, true])
  expect(lists[3]!.isRetired(parseNodeId(1))).toBe(true)
  expect(lists[3]!.isDismissed(parseNodeId(1))).toBe(false)
})

test('a confirmation is no new version of the members; new addresses for the same members are', () => {
  const lists = chain(
    [members([1, 2], [3]), 'change'],
    [members([1, 2], [3]), 'byItself'],
    [members([1, 2], [3]), 'change'],
  )
  expect(lists.map(({ index }) => index)).toEqual([5, 5, 7])
  expect(lists[2]!.confirmed).toBe(false)
})

test('of a joint change, the outgoing voters are dismissed when the members behind it are confirmed', () => {
  const joint = { ...members([1, 4, 5]), votersOutgoing: ids(1, 2, 3) }
  const lists = chain(
    [joint, 'change'],
    [members([1, 4, 5], [2, 3]), 'byItself'],
    [members([1, 4, 5], [2, 3]), 'byItself'],
  )
  expect(lists.map(({ dismissed }) => [...dismissed])).toEqual([[], [], [2, 3]])
})

test('members from a snapshot are confirmed: none is taken before', () => {
  const list = MemberList.from({ configuration: members([1, 2], [3]), context: NO_CONTEXT, index: 9 as LogIndex })
  expect([list.confirmed, list.isDismissed(parseNodeId(3))]).toEqual([true, true])
})
