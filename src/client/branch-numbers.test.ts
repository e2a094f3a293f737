import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { BranchId } from '../base/index.ts'
import { BranchNumbers } from './branch-numbers.ts'

test('own branches are numbered from 0, and there are 64', () => {
  const numbers = new BranchNumbers()
  const taken = Array.from({ length: 66 }, () => numbers.take())
  expect(taken).toEqual([...Array.from({ length: 64 }, (_, n) => n), undefined, undefined])
})

test('a call gets a share that leaves most numbers here, and at least one while there is one', () => {
  const numbers = new BranchNumbers()
  const sizes: (number | undefined)[] = []
  for (let i = 0; i < 20; i++) sizes.push(numbers.share()?.length)
  expect(sizes).toEqual([8, 8, 8, 8, 8, 6, 5, 4, 3, 2, 1, 1, 1, 1, ...Array<undefined>(6).fill(undefined)])
  expect(numbers.share(1)).toBeUndefined()
  expect(numbers.take()).toBeUndefined()
})

test('no number is in two hands, whatever is taken, given away and given back, through calls of calls', () => {
  const step = fc.record({ holder: fc.nat(), what: fc.constantFrom('take', 'share', 'giveBack'), count: fc.nat(9) })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const holders = [new BranchNumbers()]
      const used = new Set<BranchId>()
      const shares: { readonly from: BranchNumbers; readonly to: BranchNumbers }[] = []
      for (const { holder, what, count } of steps) {
        const one = holders[holder % holders.length]!
        if (what === 'take') {
          const number = one.take()
          if (number === undefined) continue
          expect(used.has(number)).toBe(false)
          used.add(number)
        } else if (what === 'share') {
          const share = one.share(count === 0 ? undefined : count)
          if (share === undefined) continue
          const to = new BranchNumbers(share)
          holders.push(to)
          shares.push({ from: one, to })
        } else {
          // The call that was made last by nobody else's caller ends: what it did not use goes back.
          const last = shares.pop()
          if (last === undefined) continue
          const unused: BranchId[] = []
          for (let number = last.to.take(); number !== undefined; number = last.to.take()) unused.push(number)
          last.from.giveBack(unused)
        }
      }
      expect(used.size + holders.reduce((sum, { left }) => sum + left, 0)).toBe(64)
    }),
    { numRuns: 200 },
  )
})
