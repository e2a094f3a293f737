import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ByteWriter, type Txid } from '../base/index.ts'
import { log, settlementLog, TXIDS } from './arbitraries.test-support.ts'
import { decodeCommands, encodeCommands } from './command-codec.ts'
import { Ledger } from './ledger.ts'
import { names, ReferenceLedger, words } from './reference-ledger.test-support.ts'
import type { LedgerCommand, LedgerEffect } from './types.ts'

// fast-check prints the seed and the shortest failing log.
const RUNS = { numRuns: 600 }

test.each([
  ['log', log],
  ['log of one transaction that operators meddle with', settlementLog],
])('the ledger answers every %s as the reference model does', (_, logs) => {
  fc.assert(
    fc.property(logs, (commands) => {
      const ledger = new Ledger()
      const reference = new ReferenceLedger()
      for (const command of commands) {
        expect(step(ledger, command).map(line)).toEqual(reference.apply(command))
        expectSame(ledger, reference)
      }
    }),
    RUNS,
  )
})

test('P2: over any log, an operator’s records change no decision, and no answer to anybody', () => {
  fc.assert(
    fc.property(settlementLog, (commands) => {
      const [meddled, plain] = [new Ledger(), new Ledger()]
      // What an operator has acknowledged may be forgotten, so no watermark here.
      for (const command of commands.filter(({ kind }) => kind !== 'watermark')) {
        const effects = step(meddled, command)
        const isOperators = ['settle', 'settled', 'acknowledged'].includes(command.kind)
        expect(effects).toEqual(isOperators ? [] : step(plain, command))
        for (const txid of TXIDS) expect(meddled.knowledge(txid)).toEqual(plain.knowledge(txid))
      }
    }),
    RUNS,
  )
})

test('P2: over any log, a transaction is decided at most once and is never told anything else', () => {
  fc.assert(
    fc.property(log, (commands) => {
      const ledger = new Ledger()
      const told = new Map<Txid, string>()
      for (const effect of commands.flatMap((command) => step(ledger, command))) {
        if (effect.kind !== 'decided' && effect.kind !== 'alreadyDecided') continue
        const outcome = words(effect.outcome)
        if (effect.kind === 'decided') expect(told.has(effect.txid)).toBe(false)
        else expect(told.has(effect.txid)).toBe(true)
        expect(told.get(effect.txid) ?? outcome).toBe(outcome)
        told.set(effect.txid, outcome)
      }
    }),
    RUNS,
  )
})

test('P5: over any log, once a txid was answered with aborted or forgotten it never commits', () => {
  fc.assert(
    fc.property(log, (commands) => {
      const ledger = new Ledger()
      const dead = new Set<Txid>()
      for (const command of commands) {
        for (const effect of step(ledger, command)) {
          if (effect.kind === 'decided' && effect.outcome.kind === 'committed')
            expect(dead.has(effect.txid)).toBe(false)
        }
        for (const txid of TXIDS) {
          const { kind } = ledger.knowledge(txid)
          if (kind === 'aborted' || kind === 'forgotten') dead.add(txid)
        }
      }
    }),
    RUNS,
  )
})

test('P1: over any log, a transaction whose branches are known to differ is marked heuristicMixed as long as it is known', () => {
  fc.assert(
    fc.property(log, (commands) => {
      const ledger = new Ledger()
      for (const command of commands) {
        step(ledger, command)
        for (const view of ledger.list({ limit: 100 })) {
          const ends = new Set<string | undefined>([view.outcome?.kind, ...view.heuristics.map(({ found }) => found)])
          expect(view.heuristicMixed).toBe(ends.has('committed') && ends.has('aborted'))
        }
      }
    }),
    RUNS,
  )
})

test('P7: over any log, what is decided and not completed is told by a new leader, to just the same branches', () => {
  fc.assert(
    fc.property(log, (commands) => {
      const ledger = new Ledger()
      const open = new Map<Txid, string>()
      for (const effect of commands.flatMap((command) => step(ledger, command))) {
        if (effect.kind === 'askVotes' || effect.kind === 'decided') open.set(effect.txid, line(effect))
        if (effect.kind === 'completed') open.delete(effect.txid)
      }
      for (const txid of TXIDS) if (ledger.isGuarded(txid)) open.delete(txid)
      expect(ledger.pending().map(line).sort()).toEqual([...open.values()].sort())
    }),
    RUNS,
  )
})

test('replicas that applied the same log are equal, also when it went through bytes', () => {
  fc.assert(
    fc.property(log, (commands) => {
      const [first, second, third] = [new Ledger(), new Ledger(), new Ledger()]
      for (const command of commands) {
        step(first, command)
        step(second, command)
        for (const read of throughBytes([command])) step(third, read)
        expect(second.digest()).toBe(first.digest())
        expect(third.digest()).toBe(first.digest())
      }
    }),
    RUNS,
  )
})

test('the digest tells two ledgers apart by anything they know', () => {
  fc.assert(
    fc.property(log, log, (one, other) => {
      const [a, b] = [new Ledger(), new Ledger()]
      for (const command of one) step(a, command)
      for (const command of other) step(b, command)
      // The list holds all that is known of every transaction; the order is no part of the state.
      const [seenA, seenB] = [seen(a), seen(b)]
      if (seenA !== seenB) expect(a.digest()).not.toBe(b.digest())
    }),
    RUNS,
  )
})

function seen(ledger: Ledger): string {
  const views = ledger.list({ limit: 100 }).map((view) => JSON.stringify(view))
  return [ledger.watermarkMs, JSON.stringify(ledger.guard), JSON.stringify(ledger.settlements), ...views.sort()].join(
    '\n',
  )
}

function step(ledger: Ledger, command: LedgerCommand): LedgerEffect[] {
  const effects: LedgerEffect[] = []
  ledger.apply(command, effects)
  ledger.validate()
  return effects
}

function throughBytes(commands: readonly LedgerCommand[]): LedgerCommand[] {
  const writer = new ByteWriter()
  encodeCommands(commands, writer)
  return decodeCommands(writer.finish())
}

function line(effect: LedgerEffect): string {
  switch (effect.kind) {
    case 'askVotes':
      return `askVotes ${effect.txid} ${names(effect.branches)}`
    case 'decided':
      return `decided ${effect.txid} ${words(effect.outcome)} ${names(effect.branches)}`
    case 'alreadyDecided':
      return `alreadyDecided ${effect.txid} ${words(effect.outcome)}`
    case 'refused':
      return `refused ${effect.txid} ${effect.reason}`
    case 'completed':
      return `completed ${effect.txid}`
  }
}

function bookOf(ledger: Ledger): string[] {
  const open = new Set(ledger.unacknowledged)
  return ledger.settlements.map((each) => {
    const { txid, branch, action, standing } = each
    return `${txid} ${branch} ${action} ${standing}${open.has(each) ? '!' : ''}`
  })
}

function expectSame(ledger: Ledger, reference: ReferenceLedger): void {
  expect(
    ledger
      .pending()
      .map((effect) => effect.txid)
      .sort(),
  ).toEqual(reference.open.filter((txid) => !reference.isGuarded(txid)).sort())
  expect(ledger.finishedCount).toBe(reference.finishedCount)
  expect(bookOf(ledger)).toEqual(reference.book)
  for (const txid of TXIDS) {
    expect(ledger.knowledge(txid)).toEqual(reference.knowledge(txid))
    expect(ledger.isGuarded(txid)).toBe(reference.isGuarded(txid))
    const heuristics = ledger.transaction(txid)?.heuristics ?? []
    expect(heuristics.map(({ branch, found }) => `${branch}:${found}`)).toEqual(reference.findings(txid))
  }
}
