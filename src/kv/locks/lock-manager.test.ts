import { expect, test } from 'vitest'
import { TXIDS } from '../../base/txids.support.ts'
import { type LockEffect, LockManager } from './lock-manager.ts'
import type { LockMode } from './lock-request.ts'
import { keySpan, rangeSpan, type Span } from './span.ts'

/** Who does what, told in words: `t1 waits for t0`. */
class Story {
  readonly locks = new LockManager()
  #ids = 0

  shared(who: number, ...keys: [string] | [string, string | undefined]): string[] {
    return this.#ask(who, keys, 'shared')
  }

  exclusive(who: number, ...keys: [string] | [string, string | undefined]): string[] {
    return this.#ask(who, keys, 'exclusive')
  }

  end(who: number): string[] {
    return this.#told(this.locks.release(TXIDS[who]!))
  }

  #ask(who: number, keys: [string] | [string, string | undefined], mode: LockMode): string[] {
    const span: Span = keys.length === 1 ? keySpan(keys[0]) : rangeSpan(...keys)
    return this.#told(this.locks.request(this.#ids++, TXIDS[who]!, span, mode))
  }

  #told(effects: readonly LockEffect[]): string[] {
    this.locks.validate()
    const name = (txid: (typeof TXIDS)[number]): string => `t${TXIDS.indexOf(txid)}`
    return effects.map((effect) =>
      effect.kind === 'granted'
        ? `${name(effect.owner)} has it`
        : `${name(effect.owner)} waits for ${effect.by.map(name).join(', ')}`,
    )
  }
}

test('readers share a key, and a writer has it alone', () => {
  const story = new Story()
  expect(story.shared(0, 'a')).toEqual(['t0 has it'])
  expect(story.shared(1, 'a')).toEqual(['t1 has it'])
  expect(story.exclusive(2, 'a')).toEqual(['t2 waits for t0, t1'])
  expect(story.end(0)).toEqual([])
  expect(story.end(1)).toEqual(['t2 has it'])
  expect(story.shared(3, 'a')).toEqual(['t3 waits for t2'])
  expect(story.exclusive(3, 'b')).toEqual(['t3 has it'])
})

test('a stream of readers does not starve a writer: those who come after it wait behind it', () => {
  const story = new Story()
  story.shared(0, 'a')
  expect(story.exclusive(1, 'a')).toEqual(['t1 waits for t0'])
  expect(story.shared(2, 'a')).toEqual(['t2 waits for t1'])
  expect(story.shared(3, 'a')).toEqual(['t3 waits for t1'])
  expect(story.end(0)).toEqual(['t1 has it'])
  expect(story.end(1)).toEqual(['t2 has it', 't3 has it'])
})

test('a range keeps out keys that do not exist yet, up to its end and not beyond', () => {
  const story = new Story()
  story.shared(0, 'b', 'd')
  expect(story.exclusive(1, 'a\uffff')).toEqual(['t1 has it'])
  expect(story.exclusive(1, 'd')).toEqual(['t1 has it'])
  expect(story.exclusive(2, 'b')).toEqual(['t2 waits for t0'])
  expect(story.exclusive(3, 'c~')).toEqual(['t3 waits for t0'])
  expect(story.shared(4, 'c', undefined)).toEqual(['t4 waits for t1, t3'])
})

test('an upgrade goes ahead of all who wait for the key', () => {
  const story = new Story()
  story.shared(0, 'a')
  story.shared(1, 'a')
  expect(story.exclusive(2, 'a')).toEqual(['t2 waits for t0, t1'])
  expect(story.shared(3, 'a')).toEqual(['t3 waits for t2'])
  expect(story.exclusive(0, 'a')).toEqual(['t0 waits for t1'])
  // Now t3 would also have to wait for t0, if t2 went away: it is told when that is so.
  expect(story.end(1)).toEqual(['t0 has it', 't3 waits for t0'])
  expect(story.end(0)).toEqual(['t2 has it'])
})

test('a reader of a key may upgrade at once when it is alone, and its shared lock is gone then', () => {
  const story = new Story()
  story.shared(0, 'a')
  expect(story.exclusive(0, 'a')).toEqual(['t0 has it'])
  expect(story.locks.locksOf(TXIDS[0]!)).toEqual([{ span: keySpan('a'), mode: 'exclusive' }])
})

test('two upgraders of one key wait for each other', () => {
  const story = new Story()
  story.shared(0, 'a')
  story.shared(1, 'a')
  expect(story.exclusive(0, 'a')).toEqual(['t0 waits for t1'])
  expect(story.exclusive(1, 'a')).toEqual(['t1 waits for t0'])
  expect(story.end(1)).toEqual(['t0 has it'])
})

test('who holds a key may read around it, though somebody who waits for him wants it too', () => {
  const story = new Story()
  story.shared(0, 'm')
  expect(story.exclusive(1, 'k', 'p')).toEqual(['t1 waits for t0'])
  expect(story.shared(0, 'l', 'n')).toEqual(['t0 has it'])
  expect(story.exclusive(0, 'o')).toEqual(['t0 has it'])
  expect(story.exclusive(2, 'k')).toEqual(['t2 waits for t1'])
})

test('who has a lock on a range has it on each key in it, and needs no second one', () => {
  const story = new Story()
  story.exclusive(0, 'a', 'f')
  expect(story.exclusive(0, 'c')).toEqual(['t0 has it'])
  expect(story.shared(0, 'b', 'd')).toEqual(['t0 has it'])
  expect(story.locks.locksOf(TXIDS[0]!)).toEqual([{ span: rangeSpan('a', 'f'), mode: 'exclusive' }])
})

test('a transaction that ends while it waits makes way for those behind it', () => {
  const story = new Story()
  story.shared(0, 'a')
  story.exclusive(1, 'a')
  expect(story.shared(2, 'a')).toEqual(['t2 waits for t1'])
  expect(story.end(1)).toEqual(['t2 has it'])
  expect(story.locks.waitersFor(TXIDS[0]!)).toEqual([])
})

test('locks are taken back after a restart, and two that contradict each other are told', () => {
  const { locks } = new Story()
  expect(locks.restore(TXIDS[0]!, { span: keySpan('a'), mode: 'exclusive' })).toBeUndefined()
  expect(locks.restore(TXIDS[0]!, { span: rangeSpan('c', 'e'), mode: 'shared' })).toBeUndefined()
  expect(locks.restore(TXIDS[1]!, { span: rangeSpan('d', undefined), mode: 'shared' })).toBeUndefined()
  expect(locks.restore(TXIDS[1]!, { span: keySpan('a'), mode: 'shared' })).toBe(TXIDS[0])
  expect(locks.request(1, TXIDS[2]!, keySpan('d'), 'exclusive')).toEqual([
    { kind: 'blocked', request: 1, owner: TXIDS[2], by: [TXIDS[0], TXIDS[1]] },
  ])
  expect(locks.waitersFor(TXIDS[0]!)).toEqual([TXIDS[2]])
})
