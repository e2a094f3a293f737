import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { NodeId } from '../base/index.ts'
import {
  configurationFault,
  configurationToPromote,
  configurationToRebuild,
  configurationTowards,
  EMPTY_CONFIGURATION,
  isJoint,
  isMalformedTarget,
  leaveJoint,
  membersOf,
  sameConfiguration,
  simpleConfiguration,
  targetOf,
  votersOf,
} from './configuration.ts'
import { hasQuorum } from './quorum.ts'
import { changes, ids, NODES, subsetsOf } from './testing/configurations.ts'

test('every change leads from one sound configuration to the next, and in the end to its target', () => {
  fc.assert(
    fc.property(changes, ({ present, target }) => {
      const next = configurationTowards(present, target)
      expect(configurationFault(next)).toBeUndefined()
      const last = isJoint(next) ? leaveJoint(next) : next
      expect(configurationFault(last)).toBeUndefined()
      expect(isJoint(last)).toBe(false)
      expect(new Set(last.voters)).toEqual(new Set(target.voters))
      expect(new Set(last.learners)).toEqual(new Set(target.learners))
    }),
  )
})

test('whoever is no member any more is retired, for ever, and nobody else is', () => {
  fc.assert(
    fc.property(changes, ({ present, target }) => {
      const next = configurationTowards(present, target)
      const last = isJoint(next) ? leaveJoint(next) : next
      const gone = membersOf(present).filter((node) => !membersOf(last).includes(node))
      expect(new Set(last.retired)).toEqual(new Set([...present.retired, ...gone]))
    }),
  )
})

test('quorums of a configuration and of the one that follows it always share a node', () => {
  const subsets = subsetsOf(NODES)
  fc.assert(
    fc.property(changes, ({ present, target }) => {
      const next = configurationTowards(present, target)
      const steps = isJoint(next) ? [present, next, leaveJoint(next)] : [present, next]
      for (let at = 1; at < steps.length; at++) {
        // A set and what is left without it can't both be quorums, one before and one behind the change.
        for (const set of subsets) {
          const isBoth =
            hasQuorum(steps[at - 1]!, (node) => set.includes(node)) &&
            hasQuorum(steps[at]!, (node) => !set.includes(node))
          expect(isBoth).toBe(false)
        }
      }
    }),
  )
})

test('one voter more or less is a simple change, two are a joint one', () => {
  const present = simpleConfiguration(ids(1, 2, 3), ids(4, 5))
  const towards = (voters: NodeId[], learners: NodeId[]) =>
    isJoint(configurationTowards(present, { voters, learners })) ? 'joint' : 'simple'
  expect(towards(ids(1, 2, 3, 4), ids(5))).toBe('simple')
  expect(towards(ids(1, 2), ids(3, 4, 5))).toBe('simple')
  expect(towards(ids(1, 2, 3), ids(6))).toBe('simple')
  expect(towards(ids(1, 2, 4), ids(5))).toBe('joint')
  expect(towards(ids(1, 2, 3, 4, 5), [])).toBe('joint')
})

test('a voter that leaves by a joint change counts until that is over, and then is a learner or retired', () => {
  const joint = configurationTowards(simpleConfiguration(ids(1, 2, 3)), { voters: ids(1, 4), learners: ids(2) })
  expect(joint).toEqual({
    ...EMPTY_CONFIGURATION,
    voters: ids(1, 4),
    votersOutgoing: ids(1, 2, 3),
    learnersNext: ids(2),
  })
  expect(votersOf(joint)).toEqual(ids(1, 2, 3, 4))
  expect(leaveJoint(joint)).toEqual({ ...simpleConfiguration(ids(1, 4), ids(2)), retired: ids(3) })
})

test('a voter that is rebuilt is a learner until it is promoted, whatever else changes meanwhile', () => {
  const rebuilt = configurationToRebuild(simpleConfiguration(ids(1, 2, 3)), ids(3)[0]!)
  expect(rebuilt).toEqual({ ...simpleConfiguration(ids(1, 2), ids(3)), rebuilding: ids(3) })
  const grown = configurationTowards(rebuilt, { voters: ids(1, 2), learners: ids(3, 4) })
  expect(grown.rebuilding).toEqual(ids(3))
  expect(configurationToPromote(grown, ids(3)[0]!)).toEqual(simpleConfiguration(ids(1, 2, 3), ids(4)))
  expect(configurationTowards(grown, { voters: ids(1, 2), learners: ids(4) }).rebuilding).toEqual([])
})

test('a target that is what is in force changes nothing', () => {
  fc.assert(
    fc.property(changes, ({ present }) => {
      expect(sameConfiguration(configurationTowards(present, targetOf(present)), present)).toBe(true)
    }),
  )
})

test('a target without voters, or with a node twice, is malformed', () => {
  expect(isMalformedTarget({ voters: [], learners: ids(1) })).toBe(true)
  expect(isMalformedTarget({ voters: ids(1, 1), learners: [] })).toBe(true)
  expect(isMalformedTarget({ voters: ids(1), learners: ids(1) })).toBe(true)
  expect(isMalformedTarget({ voters: ids(1), learners: ids(2) })).toBe(false)
})

test('a configuration that contradicts itself is told by the rule that it breaks', () => {
  const sound = { ...simpleConfiguration(ids(1, 2), ids(3)), retired: ids(9) }
  const faultOf = (fields: Partial<typeof sound>) => configurationFault({ ...sound, ...fields })?.[0]
  expect(faultOf({})).toBeUndefined()
  expect(faultOf({ voters: ids(1, 2, 2) })).toBe('1')
  expect(faultOf({ learners: ids(2) })).toBe('2')
  expect(faultOf({ votersOutgoing: ids(1, 3) })).toBe('2')
  expect(faultOf({ learnersNext: ids(4) })).toBe('3')
  expect(faultOf({ votersOutgoing: ids(1, 2), learnersNext: ids(2) })).toBe('3')
  expect(faultOf({ rebuilding: ids(1) })).toBe('4')
  expect(faultOf({ retired: ids(3) })).toBe('5')
  expect(faultOf({ votersOutgoing: ids(9) })).toBe('5')
  expect(faultOf({ voters: [] })).toBe('6')
  expect(configurationFault(EMPTY_CONFIGURATION)).toBeUndefined()
})
