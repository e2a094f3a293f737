import { expect, test } from 'vitest'
import { formatCallReport, parseCallReport } from './call-report.ts'
import { formatCallTicket, parseCallTicket } from './call-ticket.ts'
import { type BranchId, MalformedIdError, makeTxid, parseClusterId } from './ids.ts'
import { joinedName, resourceOfJoined } from './joined-name.ts'

const txid = makeTxid(1_750_000_000_000, new Uint8Array(10).fill(3))
const numbers = [0, 31, 32, 63] as BranchId[]
const ticket = { cluster: parseClusterId('trips'), txid, call: 7, numbers, timeoutMs: 29_000 }
const text = 'j1;trips;01977420-dc00-7303-8303-030303030303;7;8000000180000001;29000'

test('a call’s ticket reads back as it was written', () => {
  expect(formatCallTicket(ticket)).toBe(text)
  expect(parseCallTicket(text)).toEqual(ticket)
  const all = Array.from({ length: 64 }, (_, number) => number as BranchId)
  for (const some of [[], all]) {
    expect(parseCallTicket(formatCallTicket({ ...ticket, numbers: some })).numbers).toEqual(some)
  }
})

test('a ticket that is not whole is refused', () => {
  const bad = [
    '',
    text.slice(1),
    `${text}0 `,
    text.replace('j1', 'j2'),
    text.replace('-7303-', '-4303-'),
    text.replace(';7;', ';-7;'),
    text.replace('8000000180000001', '800000018000000g'),
    text.replace('trips', 'tr ips'),
    `${text}, ${text}`,
    'cdt_trips_01977420-dc00-7303-8303-030303030303_63;mail;29000',
    'x'.repeat(100_000),
  ]
  for (const one of bad) expect(() => parseCallTicket(one), one.slice(0, 80)).toThrow(MalformedIdError)
})

const report = {
  txid,
  call: 7,
  state: 'joined',
  branches: [
    { branch: 0 as BranchId, kind: 'service', participant: joinedName('0123456789ab', 'stock.eu') },
    { branch: 63 as BranchId, kind: 'kv', participant: 'ledger' },
  ],
} as const

test('a report reads back as it was written, at its longest too', () => {
  const written = formatCallReport(report)
  expect(written).toBe(`j1;${txid};7;joined;0:s:joined.0123456789ab.stock.eu,63:k:ledger`)
  expect(parseCallReport(written)).toEqual(report)
  const branches = Array.from({ length: 64 }, (_, branch) => ({
    branch: branch as BranchId,
    kind: 'service' as const,
    participant: 'x'.repeat(64),
  }))
  const longest = { ...report, call: 1_000_000, state: 'failed' as const, branches }
  expect(parseCallReport(formatCallReport(longest))).toEqual(longest)
})

test('what is no report is not half read', () => {
  const written = formatCallReport(report)
  const bad = [
    '',
    written.slice(1),
    written.replace('joined;', 'maybe;'),
    written.replace('63:', '64:'),
    written.replace(':k:', ':x:'),
    written.replace('ledger', 'led ger'),
    `${written},`,
    `${written},${'0:s:x,'.repeat(10_000)}`,
  ]
  for (const one of bad) expect(parseCallReport(one), one.slice(0, 80)).toBeUndefined()
})

test('a joined name tells its database, and other names tell none', () => {
  expect(resourceOfJoined(joinedName('0123456789ab', 'stock.eu'))).toBe('stock.eu')
  for (const name of ['stock', 'joined.stock', 'joined.0123456789AB.stock', 'joined.0123456789ab.']) {
    expect(resourceOfJoined(name), name).toBeUndefined()
  }
})
