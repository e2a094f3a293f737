import fc from 'fast-check'
import { expect, test } from 'vitest'
import { makeTxid, type Txid, txidTimeMs } from './ids.ts'
import { TXIDS } from './txids.support.ts'
import { WaitForGraph, youngestOf } from './wait-for-graph.ts'

const [A, B, C, D] = TXIDS as [Txid, Txid, Txid, Txid]

test('the wait that closes a circle finds it, and the youngest is its victim', () => {
  const graph = new WaitForGraph()
  expect(graph.add('kv:1', C, [A])).toBeUndefined()
  expect(graph.add('pg:1', A, [B, D])).toBeUndefined()
  expect(graph.add('my:1', B, [C])).toEqual({ circle: [B, C, A], victim: C })
  expect(graph.blockersOf(A)).toEqual([B, D])
})

test('a circle is gone when one of its waits has ended, or one of its transactions', () => {
  const graph = new WaitForGraph()
  graph.add('1', A, [B])
  graph.end('1')
  expect(graph.add('2', B, [A])).toBeUndefined()
  expect(graph.add('3', A, [B])?.victim).toBe(B)
  graph.remove(B)
  expect(graph.deadlockOf(A)).toBeUndefined()
  graph.end('2')
  expect(graph.add('2', B, [C])).toBeUndefined()
})

test('one wait may close two circles, and both are found one after the other', () => {
  const graph = new WaitForGraph()
  graph.add('1', B, [A])
  graph.add('2', C, [A])
  expect(graph.add('3', A, [B, C])?.victim).toBe(B)
  graph.remove(B)
  expect(graph.deadlockOf(A)?.victim).toBe(C)
})

test('nobody waits for himself', () => {
  expect(new WaitForGraph().add('1', A, [A])).toBeUndefined()
})

test('the youngest is the one made last, and of two made in one millisecond the one with the greater txid', () => {
  const time = fc.integer({ min: 0, max: 2 ** 48 - 1 })
  const txid = fc
    .tuple(
      fc.oneof(time, fc.integer({ min: 1_750_000_000_000, max: 1_750_000_000_002 })),
      fc.uint8Array({ minLength: 10, maxLength: 10 }),
    )
    .map(([ms, random]) => makeTxid(ms, random))
  fc.assert(
    fc.property(fc.array(txid, { minLength: 1, maxLength: 8 }), (txids) => {
      const latest = Math.max(...txids.map(txidTimeMs))
      const made = txids
        .filter((each) => txidTimeMs(each) === latest)
        .sort((a, b) => Buffer.compare(bytes(a), bytes(b)))
      expect(youngestOf(txids)).toBe(made.at(-1))
    }),
  )
})

const node = fc.nat(6)
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('add' as const),
      wait: fc.nat(9),
      waiter: node,
      by: fc.array(node, { minLength: 1, maxLength: 3 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('end' as const), wait: fc.nat(9) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('remove' as const), txid: node }) },
)

test('over any waits, a circle is found exactly when a naive search finds one', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const graph = new WaitForGraph()
      let edges: { wait: string; from: Txid; to: Txid }[] = []
      for (const each of steps) {
        if (each.kind === 'end') {
          graph.end(`w${each.wait}`)
          edges = edges.filter(({ wait }) => wait !== `w${each.wait}`)
        } else if (each.kind === 'remove') {
          graph.remove(TXIDS[each.txid]!)
          edges = edges.filter(({ from, to }) => from !== TXIDS[each.txid] && to !== TXIDS[each.txid])
        } else {
          // A wait belongs to one transaction.
          const waiter = edges.find(({ wait }) => wait === `w${each.wait}`)?.from ?? TXIDS[each.waiter]!
          graph.end(`w${each.wait}`)
          edges = edges.filter(({ wait }) => wait !== `w${each.wait}`)
          const blockers = each.by.map((index) => TXIDS[index]!)
          for (const to of blockers) if (to !== waiter) edges.push({ wait: `w${each.wait}`, from: waiter, to })
          const found = graph.add(`w${each.wait}`, waiter, blockers)
          expect(found !== undefined).toBe(reaches(edges, waiter, waiter))
        }
        for (const txid of TXIDS.slice(0, 7)) {
          const found = graph.deadlockOf(txid)
          expect(found !== undefined, txid).toBe(reaches(edges, txid, txid))
          if (found === undefined) continue
          expect(found.circle[0]).toBe(txid)
          expect(new Set(found.circle).size).toBe(found.circle.length)
          for (const [index, from] of found.circle.entries()) {
            const to = found.circle[(index + 1) % found.circle.length]
            expect(edges.some((edge) => edge.from === from && edge.to === to)).toBe(true)
          }
          expect(found.victim).toBe([...found.circle].sort().at(-1))
        }
      }
    }),
    { numRuns: 300, seed: 1 },
  )
})

/** Whether a way of at least one step leads there: all ways, one after the other. */
function reaches(
  edges: readonly { from: Txid; to: Txid }[],
  from: Txid,
  to: Txid,
  seen: readonly Txid[] = [],
): boolean {
  return edges
    .filter((edge) => edge.from === from && !seen.includes(edge.to))
    .some((edge) => edge.to === to || reaches(edges, edge.to, to, [...seen, edge.to]))
}

function bytes(txid: Txid): Buffer {
  return Buffer.from(txid.replaceAll('-', ''), 'hex')
}
