import { expect, test } from 'vitest'
import { makeTxid, parseTxid, txidToBytes } from '../../base/index.ts'
import { Inode } from '../disk/inode.ts'
import type { SimDisk } from '../disk/sim-disk.ts'
import type { World } from '../kernel/types.ts'
import { DurableVotes } from './durable-votes.ts'

const TXID = parseTxid(makeTxid(1_000, new Uint8Array(10)))
const VOTE = 2

/** A file with one record: length, type, crc32, and a payload that begins with the txid. */
function recordOf(type: number): Buffer {
  const bytes = Buffer.alloc(9 + 17)
  bytes[4] = type
  txidToBytes(TXID, bytes, 9)
  return bytes
}

/** The checks that fail when a vote to commit leaves while the log holds `inode`. */
function checksFailedWith(inode: Inode): readonly string[] {
  const failed: string[] = []
  const world = { fail: (check: string) => failed.push(check) } as unknown as World
  const disk = { files: () => [['/log/1', inode]] } as unknown as SimDisk
  new DurableVotes(world, disk, '/log', [VOTE], () => {}).sent('seats', TXID, 0)
  return failed
}

test('P4: a vote whose record is in the page cache alone, or is of another kind, is found; one on the platter is well', () => {
  const written = new Inode()
  const write = written.put(recordOf(VOTE), 100)
  expect(checksFailedWith(written)).toEqual(['P4'])
  written.settle(write)
  expect(checksFailedWith(written)).toEqual([])
  const joined = new Inode()
  joined.settle(joined.put(recordOf(1), 0))
  expect(checksFailedWith(joined)).toEqual(['P4'])
})
