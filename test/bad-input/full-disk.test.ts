import { spawnSync } from 'node:child_process'
import { mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { BranchId } from '../../src/base/index.ts'
import type { RemoteCoordinators } from '../../src/client/index.ts'
import type { Reply } from '../../src/coordinator/index.ts'
import type { BranchRecord } from '../../src/txn/index.ts'
import { asCluster, BOTH, newTxid } from '../support/decisions.support.ts'
import { Fleet } from '../support/fleet.support.ts'
import { concordat } from '../support/program.support.ts'
import { until } from '../support/waiting.support.ts'

/** A private mount of a small file system needs root, and not every container gives it. */
const [unshare = '', ...probe] = ['unshare', '-m', 'mount', '-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', '/mnt']
const canMount = spawnSync(unshare, probe).status === 0
if (!canMount) console.warn('the full-disk story is skipped: it needs root and `unshare -m` with `mount -t tmpfs`')

const clusterId = asCluster('test')

/** 64 branches with a thousand characters each: two hundred of them fill a segment. */
const BULKY: readonly BranchRecord[] = Array.from({ length: 64 }, (_, branch) => ({
  branch: branch as BranchId,
  kind: 'local',
  participant: `database-${branch}`,
  vote: 'commit',
  evidence: 'x'.repeat(1_000),
}))

function commit(port: RemoteCoordinators, branches: readonly BranchRecord[], txid = newTxid()): Promise<Reply> {
  return port.commit({ clusterId, txid, timeoutMs: 10_000, branches })
}

test.skipIf(!canMount)(
  'a full disk refuses new transactions and still takes aborts; with space again it takes all',
  async () => {
    const fleet = await Fleet.prepare({ size: 1 })
    mkdirSync(fleet.dataOf(1))
    fleet.start(1, ['unshare', '-m', 'sh', '-c', 'mount -t tmpfs -o size=80m tmpfs "$0" && exec "$@"', fleet.dataOf(1)])
    await fleet.leader()
    const port = fleet.port()
    // The mount is private to the coordinator; this is the way into it.
    const ballast = join('/proc', String(fleet.pidOf(1)), 'root', fleet.dataOf(1), 'ballast')
    expect(() => statSync(ballast)).toThrow()

    const committed = newTxid()
    expect(await commit(port, BULKY, committed)).toMatchObject({ outcome: { kind: 'committed' } })
    fill(ballast)
    const refused = await until('the disk is full', async () => {
      const replies = await Promise.all(Array.from({ length: 16 }, () => commit(port, BULKY)))
      return replies.find(({ kind }) => kind === 'refused')
    })
    expect(refused).toMatchObject({ kind: 'refused', code: 'DISK_FULL', retryable: true })
    expect(refused).toHaveProperty('message', expect.stringMatching(/nothing was done; free space, then repeat/))

    // What is decided can be told, and what must end can end: the reserve is for that.
    expect(await port.inquire({ clusterId, txid: committed, settle: false }, 5_000)).toMatchObject({
      outcome: { kind: 'committed' },
    })
    const doomed = newTxid()
    const abort = { clusterId, txid: doomed, participant: undefined, branches: BOTH }
    expect(await port.abort(abort, 5_000)).toMatchObject({ outcome: { kind: 'aborted', reason: 'requested' } })
    expect(await port.inquire({ clusterId, txid: newTxid(), settle: true }, 5_000)).toMatchObject({
      outcome: { kind: 'aborted', reason: 'presumed' },
    })
    expect((await fleet.status(1))?.log.spaceLow).toBe(true)
    const { stdout } = await concordat(['status', '--coordinators', fleet.addressOf(1)])
    expect(stdout).toMatch(/DISK FULL/)

    rmSync(ballast)
    await until('new transactions are taken again', async () => (await commit(port, BOTH)).kind === 'outcome', 30_000)
    expect(await port.inquire({ clusterId, txid: doomed, settle: false }, 5_000)).toMatchObject({
      outcome: { kind: 'aborted' },
    })
  },
)

/** Leaves no room for another segment of 16 MiB. */
function fill(ballast: string): void {
  const block = Buffer.alloc(1024 * 1024)
  try {
    for (;;) writeFileSync(ballast, block, { flag: 'a' })
  } catch (error) {
    expect(error).toHaveProperty('code', 'ENOSPC')
  }
}
