import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type BranchId, CodecError, InvariantError, makeTxid, Prng, type Txid } from '../base/index.ts'
import { cutAnywhere } from '../base/testing/fuzz.ts'
import { log, TXIDS } from './arbitraries.test-support.ts'
import {
  aborted,
  BOTH,
  branchOf,
  COMMITTED,
  commit,
  completed,
  FLIGHTS,
  heuristic,
  ledgerAfter,
  prepared,
  START_MS,
  txidOf,
  watermark,
} from './fixtures.test-support.ts'
import { Ledger } from './ledger.ts'
import { BUCKET_SPAN_MS, BUCKETS_MAX } from './outcome-table.ts'
import { NAMES_MAX } from './outcome-word.ts'
import { drain, restored } from './snapshots.test-support.ts'
import type { LedgerCommand, LedgerEffect } from './types.ts'

const RUNS = { numRuns: 600 }
/** A log and the place in it where it is frozen. */
const frozenLog = log.chain((commands) =>
  fc.record({ commands: fc.constant(commands), at: fc.nat({ max: commands.length }), seed: fc.integer() }),
)

function effectsOf(ledger: Ledger, commands: readonly LedgerCommand[]): LedgerEffect[] {
  const effects: LedgerEffect[] = []
  for (const command of commands) ledger.apply(command, effects)
  return effects
}

/** Everything that anybody can ask a ledger. */
function seen(ledger: Ledger, txids: readonly Txid[] = TXIDS): unknown {
  const { openCount, preparingCount, decidedCount, finishedCount, heuristicCount } = ledger
  const { committedCount, abortedCount, watermarkMs } = ledger
  const policy = { nowMs: START_MS + 10 * BUCKET_SPAN_MS, keepMs: 0, keepCount: 0, fenceMs: 0 }
  return {
    counts: { openCount, preparingCount, decidedCount, finishedCount, heuristicCount, committedCount, abortedCount },
    watermarkMs,
    suggested: ledger.suggestWatermark(policy),
    pending: ledger.pending(),
    knowledge: txids.map((txid) => ledger.knowledge(txid)),
    views: txids.map((txid) => ledger.transaction(txid)),
    settlements: ledger.settlements,
    digest: ledger.digest(),
  }
}

describe('over any log, frozen at any place', () => {
  test('a restored ledger is the one that was frozen, however the pieces are cut and whatever came later', () => {
    fc.assert(
      fc.property(frozenLog, ({ commands, at, seed }) => {
        const ledger = new Ledger()
        effectsOf(ledger, commands.slice(0, at))
        const then = seen(ledger)
        const snapshot = ledger.freeze()
        effectsOf(ledger, commands.slice(at))
        ledger.validate()
        const copy = restored(cutAnywhere(drain(snapshot), new Prng(seed), 60))
        copy.validate()
        expect(seen(copy)).toEqual(then)
      }),
      RUNS,
    )
  })

  test('a restored ledger goes on like the one that was frozen: the same effects and digests', () => {
    fc.assert(
      fc.property(frozenLog, ({ commands, at }) => {
        const ledger = new Ledger()
        effectsOf(ledger, commands.slice(0, at))
        const copy = restored([drain(ledger.freeze())])
        for (const command of commands.slice(at)) {
          expect(effectsOf(copy, [command])).toEqual(effectsOf(ledger, [command]))
          copy.validate()
          expect(copy.digest()).toBe(ledger.digest())
        }
        expect(seen(copy)).toEqual(seen(ledger))
      }),
      RUNS,
    )
  })

  test('exactly once: a decision that is retried after a restore is told again, and changes nothing', () => {
    fc.assert(
      fc.property(frozenLog, ({ commands, at }) => {
        const ledger = new Ledger()
        effectsOf(ledger, commands.slice(0, at))
        const copy = restored([drain(ledger.freeze())])
        const digest = copy.digest()
        for (const command of commands.slice(0, at)) {
          if (command.kind !== 'commit' && command.kind !== 'aborted') continue
          const known = copy.knowledge(command.txid)
          if (known.kind === 'unknown' || known.kind === 'preparing') continue
          const [effect, ...more] = effectsOf(copy, [command])
          expect(more).toEqual([])
          if (effect?.kind === 'alreadyDecided') expect(effect.outcome).toEqual(known)
          else expect(effect?.kind).toBe('refused')
          expect(copy.digest()).toBe(digest)
        }
      }),
      RUNS,
    )
  })
})

describe('what a snapshot holds', () => {
  const everything = ledgerAfter(
    prepared(txidOf(1)),
    commit(txidOf(2), [FLIGHTS, branchOf(63, 'käse ✓', { kind: 'kv', vote: undefined, evidence: '' })]),
    heuristic(txidOf(2), 63, 'none'),
    aborted(txidOf(3), BOTH, 'hotels'),
    aborted(txidOf(4)),
    commit(txidOf(5), [FLIGHTS]),
    heuristic(txidOf(5), 0, 'aborted'),
    completed(txidOf(5)),
    aborted(txidOf(6), [], 'a'.repeat(128)),
    watermark(-5 * BUCKET_SPAN_MS),
    heuristic(txidOf(7, -9 * BUCKET_SPAN_MS), 1, 'committed'),
  )

  test('everything survives: open, decided, noted and finished ones, names, findings, watermark and counters', () => {
    const txids = [1, 2, 3, 4, 5, 6].map((n) => txidOf(n)).concat(txidOf(7, -9 * BUCKET_SPAN_MS))
    const copy = restored([drain(everything.freeze())])
    copy.validate()
    expect(seen(copy, txids)).toEqual(seen(everything, txids))
    expect(copy.heuristicCount).toBe(3)
    expect(copy.transaction(txidOf(5))).toMatchObject({ heuristicMixed: true, state: 'completed' })
    expect(copy.list({ limit: 100 })).toEqual(everything.list({ limit: 100 }))
  })

  test('a snapshot of an empty ledger restores an empty ledger over a full one', () => {
    const ledger = ledgerAfter(prepared(txidOf(1)), aborted(txidOf(2)))
    const restore = ledger.restore()
    restore.add(drain(new Ledger().freeze()))
    expect(ledger.openCount).toBe(1)
    restore.finish()
    ledger.validate()
    expect(ledger.digest()).toBe(new Ledger().digest())
    expect(ledger.knowledge(txidOf(2))).toEqual({ kind: 'unknown' })
  })

  test('the names of participants keep their numbers, up to the last', () => {
    const ledger = new Ledger()
    const count = NAMES_MAX + 20
    for (let n = 0; n < count; n++) effectsOf(ledger, [aborted(txidOf(n), [], `participant ${n}`)])
    const copy = restored([drain(ledger.freeze())])
    for (let n = 0; n < count; n++) {
      const participant = n < NAMES_MAX ? `participant ${n}` : undefined
      expect(copy.knowledge(txidOf(n))).toEqual({ kind: 'aborted', reason: 'votedAbort', participant })
    }
    const next = aborted(txidOf(count), [], 'participant 7')
    effectsOf(ledger, [next])
    effectsOf(copy, [next])
    expect(copy.digest()).toBe(ledger.digest())
  })

  test('the largest transaction there can be fits: 64 branches with the longest texts', () => {
    const long = 'x'.repeat(0xffff)
    const branches = Array.from({ length: 64 }, (_, n) => branchOf(n, long, { evidence: long }))
    const ledger = ledgerAfter(
      { kind: 'aborted', txid: txidOf(1), reason: 'votedAbort', participant: long, branches },
      heuristic(txidOf(1), 5, 'none'),
      prepared(txidOf(2)),
    )
    const pieces = cutAnywhere(drain(ledger.freeze()), new Prng(1), 70_000)
    expect(restored(pieces).digest()).toBe(ledger.digest())
  })

  test('strays, whose bucket is one too many, survive with the others', () => {
    const ledger = new Ledger()
    const txids = Array.from({ length: BUCKETS_MAX + 500 }, (_, n) => txidOf(n, n * BUCKET_SPAN_MS))
    for (const txid of txids) effectsOf(ledger, [commit(txid, [branchOf(0, 'flights', { vote: 'readOnly' })])])
    // Those of forgotten buckets make room, so that a restored table gives strays a bucket of their own.
    effectsOf(ledger, [watermark(300 * BUCKET_SPAN_MS)])
    const copy = restored([drain(ledger.freeze())])
    copy.validate()
    expect(copy.finishedCount).toBe(txids.length - 300)
    expect(seen(copy, txids)).toEqual(seen(ledger, txids))
    const later = [commit(txidOf(9, 301 * BUCKET_SPAN_MS), [FLIGHTS]), watermark(4200 * BUCKET_SPAN_MS)]
    expect(effectsOf(copy, later)).toEqual(effectsOf(ledger, later))
    expect(copy.digest()).toBe(ledger.digest())
  })
})

describe('freezing', () => {
  const READER = [branchOf(0, 'maps', { vote: 'readOnly' })]

  function ledgerOf(count: number, spanMs: number): Ledger {
    const ledger = new Ledger()
    const random = Buffer.alloc(10)
    const effects: LedgerEffect[] = []
    for (let n = 0; n < count; n++) {
      random.writeUInt32BE(n, 6)
      ledger.apply(commit(makeTxid(START_MS + Math.floor((n / count) * spanMs), random), READER), effects)
      effects.length = 0
    }
    return ledger
  }

  test('what is applied while the pieces are written does not show in them, also where a table must grow', () => {
    const ledger = ledgerOf(20_000, 3 * BUCKET_SPAN_MS)
    effectsOf(ledger, [prepared(txidOf(1)), commit(txidOf(2), BOTH), aborted(txidOf(3), BOTH)])
    const digest = ledger.digest()
    const snapshot = ledger.freeze()
    const pieces: Uint8Array[] = []
    for (let n = 0, piece = snapshot.next(); piece !== undefined; piece = snapshot.next()) {
      pieces.push(Buffer.from(piece))
      for (let i = 0; i < 2000; i++, n++) {
        effectsOf(ledger, [commit(txidOf(100_000 + n, (n % 4) * BUCKET_SPAN_MS), READER)])
      }
      effectsOf(ledger, [heuristic(txidOf(2), 0, 'aborted'), commit(txidOf(1)), completed(txidOf(1), txidOf(3))])
      effectsOf(ledger, [watermark(n * 10)])
    }
    ledger.validate()
    expect(pieces.length).toBeGreaterThan(8)
    const copy = restored(pieces)
    copy.validate()
    expect(copy.digest()).toBe(digest)
    expect(copy.finishedCount).toBe(20_000)
    expect(copy.transaction(txidOf(2))).toMatchObject({ heuristics: [], outcome: COMMITTED })
  })

  test('two snapshots of different moments do not disturb each other', () => {
    const ledger = ledgerOf(3000, 2 * BUCKET_SPAN_MS)
    const [firstDigest, first] = [ledger.digest(), ledger.freeze()]
    effectsOf(ledger, [commit(txidOf(1_000_001), READER), prepared(txidOf(5))])
    const [secondDigest, second] = [ledger.digest(), ledger.freeze()]
    effectsOf(ledger, [commit(txidOf(1_000_002), READER), aborted(txidOf(5))])
    expect(restored([drain(second)]).digest()).toBe(secondDigest)
    expect(restored([drain(first)]).digest()).toBe(firstDigest)
  })

  test('it copies no finished transaction, and a later one copies just its own bucket', () => {
    const ledger = ledgerOf(300_000, 30 * BUCKET_SPAN_MS)
    const { finishedBytes } = ledger
    const bytes = () => process.memoryUsage().arrayBuffers
    const before = bytes()
    const snapshot = ledger.freeze()
    expect(bytes() - before).toBeLessThan(finishedBytes / 100)
    effectsOf(ledger, [commit(txidOf(900_000, BUCKET_SPAN_MS), READER)])
    expect(bytes() - before).toBeLessThan(finishedBytes / 10)
    snapshot.close()
  })

  test('no piece is longer than 64 KiB, unless one transaction is', () => {
    const large = Array.from({ length: 64 }, (_, n) => branchOf(n, 'p'.repeat(2000)))
    const ledger = ledgerOf(9000, BUCKET_SPAN_MS)
    for (let n = 0; n < 200; n++) effectsOf(ledger, [prepared(txidOf(n), [branchOf(0, 'p'.repeat(n * 20))])])
    effectsOf(ledger, [prepared(txidOf(500), large), prepared(txidOf(501))])
    const sizes: number[] = []
    const snapshot = ledger.freeze()
    for (let piece = snapshot.next(); piece !== undefined; piece = snapshot.next()) sizes.push(piece.length)
    expect(sizes.filter((size) => size > 64 * 1024)).toEqual([expect.closeTo(128_000, -4)])
    expect(sizes.length).toBeLessThan(20)
  })

  test('a snapshot that was closed is not read on, so a part is never taken for the whole', () => {
    const snapshot = ledgerOf(9000, BUCKET_SPAN_MS).freeze()
    snapshot.next()
    snapshot.close()
    expect(() => snapshot.next()).toThrow(InvariantError)
    snapshot.close()
  })
})

describe('restoring', () => {
  const bytes = drain(ledgerAfter(prepared(txidOf(1)), commit(txidOf(2), BOTH), aborted(txidOf(3))).freeze())

  test('nothing shows before `finish`, and what was there stays when a restore fails', () => {
    const ledger = ledgerAfter(prepared(txidOf(9)))
    const before = ledger.digest()
    const restore = ledger.restore()
    restore.add(bytes.subarray(0, -3))
    expect(() => restore.finish()).toThrow(CodecError)
    expect(() => restore.add(Buffer.from(bytes.subarray(-3).map((byte) => byte ^ 1)))).toThrow(/digest/)
    expect(ledger.digest()).toBe(before)
  })

  test('a restore that has failed stays failed, whatever comes', () => {
    const restore = new Ledger().restore()
    expect(() => restore.add(Buffer.from([9, 0, 0, 0, 0]))).toThrow(CodecError)
    expect(() => restore.add(bytes)).toThrow(CodecError)
    expect(() => restore.finish()).toThrow(CodecError)
  })

  test('a snapshot without its end, or with something behind it, is refused', () => {
    for (let size = 0; size < bytes.length; size++) {
      expect(() => restored([bytes.subarray(0, size)]), `the first ${size} bytes`).toThrow(CodecError)
    }
    expect(() => restored([bytes, Buffer.alloc(1)])).toThrow(/left over/)
    expect(() => restored([bytes, bytes])).toThrow(CodecError)
    expect(restored([bytes]).openCount).toBe(2)
  })

  test('another format version is refused with words that say what to do', () => {
    const newer = Buffer.from(bytes)
    newer[5] = 2
    expect(() => restored([newer])).toThrow(/format version 2 and this program reads version 1; run the version/)
  })

  test('a restored ledger shares nothing with the bytes it was read from', () => {
    const copyOfBytes = Buffer.from(bytes)
    const copy = restored([copyOfBytes])
    const digest = copy.digest()
    copyOfBytes.fill(0)
    expect(copy.digest()).toBe(digest)
    expect(copy.transaction(txidOf(2))?.branches).toEqual(BOTH)
  })

  test('branches keep their numbers up to the highest', () => {
    const ledger = ledgerAfter(prepared(txidOf(1), [branchOf(63, 'last')]), heuristic(txidOf(1), 63, 'none'))
    expect(restored([drain(ledger.freeze())]).transaction(txidOf(1))?.heuristics).toEqual([
      { branch: 63 as BranchId, found: 'none' },
    ])
  })
})
