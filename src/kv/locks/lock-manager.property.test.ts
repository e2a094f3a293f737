import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Txid, WaitForGraph } from '../../base/index.ts'
import { TXIDS } from '../../base/txids.support.ts'
import { type LockEffect, LockManager } from './lock-manager.ts'
import type { LockMode } from './lock-request.ts'
import { conflicting, ReferenceLocks } from './reference-locks.support.ts'
import { keySpan, rangeSpan, type Span } from './span.ts'

const RUNS = { numRuns: 500, seed: 1 }
const KEYS = [...'abcdef']

interface Place {
  readonly span: Span
  readonly keys: ReadonlySet<string>
}

type Event =
  | { readonly kind: 'request'; readonly owner: number; readonly place: Place; readonly mode: LockMode }
  | { readonly kind: 'release'; readonly owner: number }

const key = fc.constantFrom(...KEYS).map((each): Place => ({ span: keySpan(each), keys: new Set([each]) }))
const range = fc
  .tuple(fc.nat(KEYS.length - 1), fc.integer({ min: 1, max: KEYS.length }))
  .map(([from, length]): Place => {
    const keys = KEYS.slice(from, from + length)
    const to = KEYS[from + length]
    return { span: rangeSpan(keys[0]!, to), keys: new Set(keys) }
  })
const owner = fc.nat(5)
const mode = fc.constantFrom<LockMode>('shared', 'exclusive')
const request = fc.record({
  kind: fc.constant('request' as const),
  owner,
  place: fc.oneof({ weight: 3, arbitrary: key }, { weight: 2, arbitrary: range }),
  mode,
})
const release = fc.record({ kind: fc.constant('release' as const), owner })
const events = fc.array(fc.oneof({ weight: 5, arbitrary: request }, { weight: 1, arbitrary: release }), {
  minLength: 1,
  maxLength: 40,
})

/** A lock manager with its reference, and what it told about who waits for whom. */
class Pair {
  readonly locks = new LockManager()
  readonly reference = new ReferenceLocks()
  readonly told = new Map<number, Set<Txid>>()
  #ids = 0

  step(event: Event): { effects: LockEffect[]; granted: number[] } {
    const txid = TXIDS[event.owner]!
    if (event.kind === 'release') {
      for (const [id, by] of this.told) {
        if (this.reference.waiting.some((each) => each.id === id && each.owner === txid)) this.told.delete(id)
        by.delete(txid)
      }
      return this.#noted(this.locks.release(txid), this.reference.release(txid))
    }
    const id = this.#ids++
    const { span, keys } = event.place
    return this.#noted(
      this.locks.request(id, txid, span, event.mode),
      this.reference.request(id, txid, keys, event.mode),
    )
  }

  #noted(effects: LockEffect[], granted: number[]): { effects: LockEffect[]; granted: number[] } {
    for (const effect of effects) {
      if (effect.kind === 'granted') this.told.delete(effect.request)
      else this.told.set(effect.request, new Set([...(this.told.get(effect.request) ?? []), ...effect.by]))
    }
    return { effects, granted }
  }
}

test('the lock manager grants, queues and wakes as the slow reference does, and always knows whom everybody waits for', () => {
  fc.assert(
    fc.property(events, (script) => {
      const pair = new Pair()
      for (const event of script) {
        const { effects, granted } = pair.step(event)
        expect(effects.filter(({ kind }) => kind === 'granted').map((effect) => effect.request)).toEqual(granted)
        const waits = pair.reference.waiting.map((each) => [each.id, pair.reference.blockersOf(each)] as const)
        expect(pair.told).toEqual(new Map(waits))
        pair.locks.validate()
      }
    }),
    RUNS,
  )
})

test('over any schedule, of two locks that are held on a key by two transactions none is exclusive', () => {
  fc.assert(
    fc.property(events, (script) => {
      const held: { owner: Txid; keys: ReadonlySet<string>; mode: LockMode }[] = []
      const asked: { owner: Txid; keys: ReadonlySet<string>; mode: LockMode }[] = []
      const locks = new LockManager()
      for (const event of script) {
        const txid = TXIDS[event.owner]!
        if (event.kind === 'request') asked.push({ owner: txid, keys: event.place.keys, mode: event.mode })
        else for (const lock of held.filter((each) => each.owner === txid)) held.splice(held.indexOf(lock), 1)
        const effects =
          event.kind === 'request'
            ? locks.request(asked.length - 1, txid, event.place.span, event.mode)
            : locks.release(txid)
        for (const effect of effects) if (effect.kind === 'granted') held.push(asked[effect.request]!)
        for (const [index, lock] of held.entries()) {
          for (const other of held.slice(index + 1)) expect(conflicting(lock, other)).toBe(false)
        }
      }
    }),
    RUNS,
  )
})

test('among requests that conflict, nobody overtakes but the one for whom the other waits anyway', () => {
  fc.assert(
    fc.property(events, (script) => {
      const pair = new Pair()
      /** By request: those that it may overtake, because they waited for its owner when it came. */
      const mayOvertake = new Map<number, Set<number>>()
      const asked: { id: number; owner: Txid; keys: ReadonlySet<string>; mode: LockMode }[] = []
      for (const event of script) {
        const waiting = [...pair.told.keys()]
        if (event.kind === 'request') {
          const txid = TXIDS[event.owner]!
          const id = asked.length
          asked.push({ id, owner: txid, keys: event.place.keys, mode: event.mode })
          mayOvertake.set(id, new Set(waiting.filter((other) => waitsFor(pair.told, asked, other, txid))))
        }
        for (const effect of pair.step(event).effects) {
          if (effect.kind !== 'granted') continue
          const winner = asked[effect.request]!
          for (const id of pair.told.keys()) {
            if (id < winner.id && conflicting(asked[id]!, winner)) expect(mayOvertake.get(winner.id)).toContain(id)
          }
        }
      }
    }),
    RUNS,
  )
})

test('nobody starves: when transactions end as soon as they wait no more, and victims at once, all of them end', () => {
  fc.assert(
    fc.property(events, (script) => {
      const locks = new LockManager()
      const graph = new WaitForGraph()
      const owners = new Set<Txid>()
      const waits = new Map<Txid, Set<number>>()
      const take = (effects: LockEffect[]): void => {
        for (const effect of effects) {
          const own = waits.get(effect.owner) ?? new Set()
          waits.set(effect.owner, own)
          if (effect.kind === 'granted') {
            own.delete(effect.request)
            graph.end(String(effect.request))
          } else {
            own.add(effect.request)
            graph.add(String(effect.request), effect.owner, effect.by)
          }
        }
      }
      const end = (txid: Txid): void => {
        for (const id of waits.get(txid) ?? []) graph.end(String(id))
        graph.remove(txid)
        owners.delete(txid)
        waits.delete(txid)
        take(locks.release(txid))
      }
      for (const [id, event] of script.entries()) {
        if (event.kind === 'release') continue
        owners.add(TXIDS[event.owner]!)
        take(locks.request(id, TXIDS[event.owner]!, event.place.span, event.mode))
      }
      while (owners.size > 0) {
        const free = [...owners].find((txid) => (waits.get(txid)?.size ?? 0) === 0)
        const victim = [...owners].map((txid) => graph.deadlockOf(txid)?.victim).find((each) => each !== undefined)
        expect(free ?? victim, 'somebody goes on, or a circle is found').toBeDefined()
        end(free ?? victim!)
        locks.validate()
      }
      expect(locks.owners).toBe(0)
    }),
    RUNS,
  )
})

function waitsFor(
  told: ReadonlyMap<number, ReadonlySet<Txid>>,
  asked: readonly { id: number; owner: Txid }[],
  id: number,
  owner: Txid,
): boolean {
  const seen = new Set(told.get(id))
  for (const blocker of seen) {
    for (const other of told.keys()) {
      if (asked[other]!.owner === blocker) for (const next of told.get(other)!) seen.add(next)
    }
  }
  return seen.has(owner)
}
