import { describe, expect, test } from 'vitest'
import { parseNodeId } from '../base/index.ts'
import { EMPTY_CONFIGURATION, type LogIndex, simpleConfiguration } from '../raft/index.ts'
import { decodeMemberContext, encodeMemberContext } from './member-context.ts'
import { MemberList } from './member-list.ts'
import { planMembers } from './members-request.ts'
import type { Member } from './options.ts'

const id = parseNodeId
const member = (number: number, port = 7000 + number): Member => ({
  nodeId: id(number),
  host: `10.0.0.${number}`,
  port,
})
const three = MemberList.bootstrap([1, 2, 3].map((number) => member(number)))
const NO_CONTEXT = new Uint8Array(0)

/** Voters 1, 2, 3, learner 4, and 9 that was removed. */
const four = three.next({
  configuration: { ...simpleConfiguration([id(1), id(2), id(3)], [id(4)]), retired: [id(9)] },
  context: encodeMemberContext({
    details: new Map([1, 2, 3, 4].map((number) => [id(number), { ...member(number), storeId: undefined }])),
    forcedBecause: undefined,
  }),
  index: 7 as LogIndex,
})

describe('what a request makes of the members', () => {
  test('a new node is a learner; a member that moved keeps its part', () => {
    expect(planMembers(three, { kind: 'add', ...member(4) })).toMatchObject({
      target: { voters: [1, 2, 3], learners: [4] },
      isMove: false,
    })
    const moved = planMembers(four, { kind: 'add', ...member(2, 8002) })
    expect(moved).toMatchObject({ target: { voters: [1, 2, 3], learners: [4] }, isMove: true })
    expect(moved.details.get(id(2))).toMatchObject({ host: '10.0.0.2', port: 8002 })
    expect(planMembers(four, { kind: 'add', ...member(2) }).isMove).toBe(false)
  })

  test('a promotion may take a voter along, in the same step', () => {
    expect(planMembers(four, { kind: 'promote', nodeId: id(4) }).target).toEqual({ voters: [1, 2, 3, 4], learners: [] })
    const replaced = planMembers(four, { kind: 'promote', nodeId: id(4), replaces: id(1) })
    expect(replaced.target).toEqual({ voters: [2, 3, 4], learners: [] })
  })

  test('what is done already is asked for again without harm', () => {
    const present = { voters: [1, 2, 3], learners: [4] }
    expect(planMembers(four, { kind: 'promote', nodeId: id(1) }).target).toEqual(present)
    expect(planMembers(four, { kind: 'promote', nodeId: id(1), replaces: id(9) }).target).toEqual(present)
    expect(planMembers(four, { kind: 'demote', nodeId: id(4) }).target).toEqual(present)
    expect(planMembers(four, { kind: 'remove', nodeId: id(9) }).target).toEqual(present)
  })

  test('what does not fit is refused by name', () => {
    for (const request of [
      { kind: 'promote', nodeId: id(8) },
      { kind: 'promote', nodeId: id(4), replaces: id(8) },
      { kind: 'demote', nodeId: id(8) },
      { kind: 'remove', nodeId: id(8) },
    ] as const)
      expect(() => planMembers(four, request), request.kind).toThrow(
        expect.objectContaining({ code: 'MEMBERS_UNKNOWN_MEMBER', nodes: [expect.any(Number)] }),
      )
  })
})

describe('the address of another member', () => {
  const at = (nodeId: number, port: number) => ({ nodeId: id(nodeId), host: '10.0.0.2', port })

  test('is refused for a new node and for one that moves, and the refusal says whose it is', () => {
    for (const nodeId of [8, 1, 4])
      expect(() => planMembers(four, { kind: 'add', ...at(nodeId, 7002) }), `node ${nodeId}`).toThrow(
        expect.objectContaining({
          code: 'MEMBERS_ADDRESS_TAKEN',
          nodes: [nodeId],
          message: expect.stringContaining('10.0.0.2:7002 is the address of member 2.'),
        }),
      )
    expect(() => planMembers(four, { kind: 'replaceAll', voters: [at(1, 1), at(2, 1)], learners: [] })).toThrow(
      expect.objectContaining({ code: 'MEMBERS_ADDRESS_TAKEN' }),
    )
  })

  test('is free for others once that member is gone', () => {
    const without = three.next({
      configuration: { ...simpleConfiguration([id(1), id(3)]), retired: [id(2)] },
      context: new Uint8Array(0),
      index: 8 as LogIndex,
    })
    expect(planMembers(without, { kind: 'add', ...at(8, 7002) }).target).toEqual({ voters: [1, 3], learners: [8] })
    const instead = { kind: 'replaceAll', voters: [member(1), at(8, 7002), member(3)], learners: [] } as const
    expect(planMembers(four, instead).target.voters).toEqual([1, 8, 3])
  })
})

describe('the list of members', () => {
  test('addresses, directories and reasons travel with the configuration and come back', () => {
    const context = encodeMemberContext({
      details: new Map([
        [id(1), { host: 'fe80::1', port: 65_535, storeId: 'ab'.repeat(16) }],
        [id(65_535), { host: 'zürich.example', port: 1, storeId: undefined }],
      ]),
      forcedBecause: 'weil es brennt',
    })
    const entry = { configuration: simpleConfiguration([id(1), id(65_535)]), index: 9 as LogIndex }
    // As a snapshot is taken: behind the entry that confirms it.
    const list = three.next({ ...entry, context }).next({ ...entry, context: NO_CONTEXT })
    const { configuration, context: again } = list.data
    expect(MemberList.from({ configuration, context: again, index: list.index })).toEqual(list)
    expect(list.addressOf(id(1))).toBe('[fe80::1]:65535')
    expect(list.forcedBecause).toBe('weil es brennt')
  })

  test('a change that the leader made by itself changes no address, and drops those of who is gone', () => {
    const next = four.next({
      configuration: { ...simpleConfiguration([id(1), id(2)]), retired: [id(3), id(4), id(9)] },
      context: NO_CONTEXT,
      index: 8 as LogIndex,
    })
    expect([...next.details.keys()]).toEqual([1, 2])
    expect(next.addressOf(id(3))).toBeUndefined()
    expect([next.isMember(id(2)), next.isMember(id(3)), next.isRetired(id(3))]).toEqual([true, false, true])
  })

  test('a node that waits to be added knows nobody', () => {
    expect(MemberList.empty()).toMatchObject({ configuration: EMPTY_CONFIGURATION, index: 0, nodeIds: [] })
  })

  test('a context of a later version, or with bytes left over, stops the node', () => {
    const context = encodeMemberContext({ details: new Map(), forcedBecause: undefined })
    expect(decodeMemberContext(context).details.size).toBe(0)
    const later = Uint8Array.from(context)
    later[0] = 2
    for (const bad of [later, Uint8Array.of(...context, 0), context.subarray(0, 2), NO_CONTEXT])
      expect(() => decodeMemberContext(bad)).toThrow(expect.objectContaining({ code: 'REPLICA_LOG_MALFORMED' }))
    const zero = encodeMemberContext({
      details: new Map([[0 as never, { host: 'a', port: 1, storeId: undefined }]]),
      forcedBecause: undefined,
    })
    expect(() => decodeMemberContext(zero)).toThrow(expect.objectContaining({ code: 'REPLICA_LOG_MALFORMED' }))
  })
})
