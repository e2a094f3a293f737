import { createHash } from 'node:crypto'
import { cpSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { expect, test } from 'vitest'
import { asCluster, BOTH, Decisions, newTxid } from '../support/decisions.support.ts'
import { Fleet } from '../support/fleet.support.ts'
import { concordat } from '../support/program.support.ts'

/** Every file of a directory with the hash of its bytes. Locks come and go with every start. */
function snapshot(directory: string): Record<string, string> {
  const files = readdirSync(directory, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && !entry.name.startsWith('lock.'))
    .map((entry) => relative(directory, join(entry.parentPath, entry.name)))
  return Object.fromEntries(
    files.map((name) => [
      name,
      createHash('sha256')
        .update(readFileSync(join(directory, name)))
        .digest('hex'),
    ]),
  )
}

/** Runs a coordinator that should refuse to start; its words. */
async function refusal(fleet: Fleet, id: number): Promise<string> {
  const { code, stderr, stdout } = await concordat(['serve', '--config', fleet.configOf(id)])
  expect(code, `${stdout}\n${stderr}`).toBe(1)
  return stderr
}

/** A fleet that has decided something, and holds it in the end. */
async function workingFleet(size = 3): Promise<{ fleet: Fleet; decisions: Decisions; goesOn(): Promise<void> }> {
  const fleet = await Fleet.start({ size })
  const decisions = new Decisions(fleet)
  const port = fleet.port()
  for (let i = 0; i < 20; i++) await decisions.decide(port, 5_000)
  await fleet.whole()
  const goesOn = async (): Promise<void> => {
    const reply = await decisions.decide(port, 10_000)
    expect(reply.kind).toBe('outcome')
    await decisions.holdAtLeader(port)
  }
  return { fleet, decisions, goesOn }
}

test("a node does not start with another node's directory, and leaves it as it is", async () => {
  const { fleet, goesOn } = await workingFleet()
  await fleet.end(2, 'SIGTERM')
  await fleet.end(3, 'SIGTERM')
  fleet.rewrite(3, { data: fleet.dataOf(2) })
  const before = snapshot(fleet.dataOf(2))
  const words = await refusal(fleet, 3)
  expect(words).toMatch(/holds the log of node 2 .*, but this is node 3/)
  expect(words).toMatch(/Nothing was changed. Point the node at its own directory/)
  expect(words).toMatch(/\[WAL_IDENTITY\]/)
  expect(snapshot(fleet.dataOf(2))).toEqual(before)
  fleet.start(2)
  await goesOn()
})

test('a node with an empty directory under a known id ends itself, says why, and the others go on', async () => {
  const { fleet, goesOn } = await workingFleet()
  await fleet.end(3, 'SIGTERM')
  rmSync(fleet.dataOf(3), { recursive: true })
  const words = await refusal(fleet, 3)
  expect(words).toMatch(/empty or foreign directory under a known id would break its promises, so it may not take part/)
  expect(words).toMatch(/give the node that replaces it a new node id/)
  expect(words).toMatch(/\[NODE_STORE_CHANGED\]/)
  await goesOn()
})

test('a node with an older copy of its own directory ends itself, says why, and the others go on', async () => {
  const { fleet, decisions, goesOn } = await workingFleet()
  await fleet.end(3, 'SIGTERM')
  const copy = `${fleet.dataOf(3)}-copy`
  cpSync(fleet.dataOf(3), copy, { recursive: true, verbatimSymlinks: true })
  fleet.start(3)
  const port = fleet.port()
  for (let i = 0; i < 20; i++) await decisions.decide(port, 5_000)
  await fleet.whole()
  await fleet.end(3, 'SIGTERM')
  rmSync(fleet.dataOf(3), { recursive: true })
  renameSync(copy, fleet.dataOf(3))
  const words = await refusal(fleet, 3)
  expect(words).toMatch(/its directory is a copy from the past, which has forgotten promises/)
  expect(words).toMatch(/\[NODE_STORE_OLD\]/)
  await goesOn()
})

test('a second process on the same directory is refused, and the first one goes on', async () => {
  const { fleet, goesOn } = await workingFleet()
  const words = await refusal(fleet, 2)
  expect(words).toMatch(/is in use by process \d+: two writers would destroy the log. Stop that process/)
  expect(words).toMatch(/\[WAL_LOCKED\]/)
  expect(fleet.running).toEqual([1, 2, 3])
  await goesOn()
})

// In a fleet of several the others make it whole again: test/operating has that.
test('a log with a flipped byte below the synced mark keeps a lone node from starting, and is not touched', async () => {
  const { fleet, goesOn } = await workingFleet(1)
  await fleet.end(1, 'SIGTERM')
  const file = join(fleet.dataOf(1), '000000000001.wal')
  const intact = readFileSync(file)
  const damaged = Buffer.from(intact)
  damaged[4096 + 200] = damaged[4096 + 200]! ^ 0x01
  writeFileSync(file, damaged)
  const before = snapshot(fleet.dataOf(1))
  const words = await refusal(fleet, 1)
  const offset = Number(/000000000001\.wal, byte (\d+)/.exec(words)?.[1])
  expect(offset).toBeGreaterThanOrEqual(4096)
  expect(offset).toBeLessThanOrEqual(4096 + 200)
  expect(words).toContain(`the log is damaged: ${file}, byte ${offset}`)
  expect(words).toMatch(/Nothing was changed.*Check the disk; concordat recover tells.*restore a backup/)
  expect(words).toMatch(/\[WAL_DAMAGED\]/)
  expect(snapshot(fleet.dataOf(1))).toEqual(before)
  // With its bytes restored it is what it was.
  writeFileSync(file, intact)
  fleet.start(1)
  await fleet.whole()
  await goesOn()
})

test('a directory that holds something else is left alone', async () => {
  const fleet = await Fleet.prepare()
  mkdirSync(fleet.dataOf(1))
  writeFileSync(join(fleet.dataOf(1), 'thesis.txt'), 'three years of work')
  const words = await refusal(fleet, 1)
  expect(words).toMatch(/is no log directory, but it is not empty \(it holds thesis.txt\). Nothing was changed/)
  expect(words).toMatch(/\[WAL_NOT_EMPTY\]/)
  expect(readFileSync(join(fleet.dataOf(1), 'thesis.txt'), 'utf8')).toBe('three years of work')
})

test('a node whose port is taken says so and ends', async () => {
  const fleet = await Fleet.start({ size: 1 })
  const other = await Fleet.prepare({ size: 1 })
  other.rewrite(1, { members: [{ id: 1, address: fleet.addressOf(1) }] })
  const words = await refusal(other, 1)
  expect(words).toMatch(/127\.0\.0\.1:\d+.*(in use|taken)/i)
  const reply = await fleet.port().commit({
    clusterId: asCluster('test'),
    txid: newTxid(),
    timeoutMs: 5_000,
    branches: BOTH,
  })
  expect(reply).toMatchObject({ outcome: { kind: 'committed' } })
})
