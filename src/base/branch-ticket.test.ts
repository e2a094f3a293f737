import { expect, test } from 'vitest'
import { formatBranchTicket, parseBranchTicket } from './branch-ticket.ts'
import { MalformedIdError, makeTxid, parseBranchId, parseClusterId } from './ids.ts'

const ticket = {
  cluster: parseClusterId('trips'),
  txid: makeTxid(1_750_000_000_000, new Uint8Array(10).fill(3)),
  branch: parseBranchId(63),
  participant: 'mail.eu-1',
  timeoutMs: 29_000,
}

test('a ticket reads back as it was written', () => {
  expect(parseBranchTicket(formatBranchTicket(ticket))).toEqual(ticket)
  expect(formatBranchTicket(ticket)).toBe('cdt_trips_01977420-dc00-7303-8303-030303030303_63;mail.eu-1;29000')
})

test('time is told in whole milliseconds and never below none', () => {
  const timeOf = (timeoutMs: number) => parseBranchTicket(formatBranchTicket({ ...ticket, timeoutMs })).timeoutMs
  expect([0.2, -5, 7].map(timeOf)).toEqual([1, 0, 7])
})

test('anything else is refused', () => {
  const good = formatBranchTicket(ticket)
  const bad = [
    '',
    'x',
    good.replace('_63', '_64'),
    good.replace('-7303-', '-4303-'),
    `${good}0 `,
    good.slice(4),
    good.replace('mail', 'a b'),
  ]
  for (const text of bad) expect(() => parseBranchTicket(text), text).toThrow(MalformedIdError)
})
