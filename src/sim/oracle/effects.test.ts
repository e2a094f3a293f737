import { expect, test } from 'vitest'
import type { FoundAccount, FoundEffect, FoundState } from './effects.ts'
import { checksFailedBy } from './planted.support.ts'

const OPENING = 100

const debit = { database: 'flights', account: 1, amount: -5 }
const credit = { database: 'hotels', account: 2, amount: 5 }

function found(txid: string, operation: string, effect: typeof debit): FoundEffect {
  return { ...effect, txid, operation }
}

/** Accounts as the effects leave them. */
function accountsAfter(effects: readonly FoundEffect[]): FoundAccount[] {
  return [debit, credit].map(({ database, account }) => {
    const own = effects.filter((effect) => effect.database === database && effect.account === account)
    return { database, account, balance: own.reduce((sum, { amount }) => sum + amount, OPENING) }
  })
}

/** `t` was to move 5 from flights to hotels for operation `op`; so was `u`, its second attempt. */
function failedWith(
  state: Partial<FoundState>,
  told: Record<string, 'committed' | 'aborted'> = {},
  forced = '',
): readonly string[] {
  return checksFailedBy(({ effects }) => {
    for (const txid of ['t', 'u']) effects.began(txid, 'op').effects.push(debit, credit)
    const all = state.effects ?? []
    effects.check({ effects: all, accounts: state.accounts ?? accountsAfter(all) }, OPENING, {
      finalOf: (txid) => told[txid],
      isForced: (txid) => txid === forced,
    })
  })
}

const WHOLE = [found('t', 'op', debit), found('t', 'op', credit)]

test('all effects of one attempt, or none at all, are nobody’s fault', () => {
  expect(failedWith({ effects: WHOLE }, { t: 'committed', u: 'aborted' })).toEqual([])
  expect(failedWith({}, { t: 'aborted' })).toEqual([])
  expect(failedWith({ effects: WHOLE })).toEqual([])
})

test('P1: half of a transaction is found, also when nobody was told anything', () => {
  expect(failedWith({ effects: [found('t', 'op', debit)] })).toContain('P1')
})

test('P3: a committed transaction without its effects is found', () => {
  expect(failedWith({}, { t: 'committed' })).toEqual(['P3'])
})

test('P3: an aborted transaction that left something is found', () => {
  expect(failedWith({ effects: WHOLE }, { t: 'aborted' })).toEqual(['P3'])
})

test('exactly once: two attempts of one operation that both took effect are found', () => {
  const both = [...WHOLE, found('u', 'op', debit), found('u', 'op', credit)]
  expect(failedWith({ effects: both })).toEqual(['exactlyOnce'])
})

test('exactly once: an effect that is there twice is found', () => {
  expect(failedWith({ effects: [...WHOLE, found('t', 'op', debit)] })).toContain('exactlyOnce')
})

test('an effect that came from nowhere is found', () => {
  expect(failedWith({ effects: [found('x', 'op-9', debit), found('x', 'op-9', credit)] })).toEqual(['exactlyOnce'])
})

test('money: a balance that its entries do not explain is found', () => {
  const [first, second] = accountsAfter(WHOLE) as [FoundAccount, FoundAccount]
  const accounts = [
    { ...first, balance: first.balance + 5 },
    { ...second, balance: second.balance - 5 },
  ]
  expect(failedWith({ effects: WHOLE, accounts })).toEqual(['money'])
})

test('money: a sum that has changed is found', () => {
  const half = [found('t', 'op', debit)]
  expect(failedWith({ effects: half })).toContain('money')
})

test('half of a transaction that an administrator ended by hand is not held against anybody', () => {
  expect(failedWith({ effects: [found('t', 'op', debit)] }, { t: 'committed' }, 't')).toEqual([])
})
