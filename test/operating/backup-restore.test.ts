import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Decisions, newTxid } from '../support/decisions.support.ts'
import { Fleet } from '../support/fleet.support.ts'
import { concordat } from '../support/program.support.ts'
import { until } from '../support/waiting.support.ts'
import { addVoter, operate, votersAre } from './operating.support.ts'

test('a backup that was taken under load is restored onto a new fleet, which gives the same answers', async () => {
  const old = await Fleet.start()
  const decisions = new Decisions(old)
  decisions.start(old.port(), 10)
  await until('there are decisions', () => decisions.answers.size > 300)
  await decisions.stop()
  const later = new Decisions(old)
  later.start(old.port('later'), 10)
  const file = join(old.directory, 'monday.backup')
  const taken = await operate(old, 'backup', file)
  await later.stop()
  expect(taken).toContain('monday.backup is whole')
  expect((await old.operator('backup', file)).stderr).toContain('FILE_EXISTS')
  const { index } = JSON.parse((await concordat(['backup', 'verify', '--json', file])).stdout)
  expect(index).toBeGreaterThan(10)
  await old.kill(...old.ids)

  const fleet = await Fleet.prepare({ size: 1, firstId: 11 })
  const restore = ['restore', '--from', file, '--data', fleet.dataOf(11), '--address', fleet.addressOf(11)]
  expect((await concordat([...restore, '--node', '2'])).stderr).toContain('RECOVERY_REFUSED')
  expect(await concordat([...restore, '--node', '11'])).toMatchObject({ code: 0, stderr: '' })
  const twice = (await concordat([...restore, '--node', '11'])).stderr
  expect(twice).toMatch(/is not empty.*If it is what a restore left that was interrupted.*\[WAL_NOT_EMPTY\]/)
  fleet.startAll()
  const { guard } = await fleet.leader()
  expect(guard).toBeDefined()
  await addVoter(fleet, 12)
  await addVoter(fleet, 13)
  await votersAre(fleet, 11, 12, 13)
  await fleet.kill(11)
  await fleet.leader()
  await decisions.holdAtLeader(fleet.port('new'))

  const young = new Decisions(fleet)
  expect(await young.decide(fleet.port('young'), 10_000)).toMatchObject({ kind: 'outcome' })
  const asked = await fleet.operator('outcome', newTxid(guard!.beforeMs - 1), '--settle')
  expect(asked.code).toBe(1)
})

test('a backup with a flipped bit is refused, by verify and by restore', async () => {
  const fleet = await Fleet.start({ size: 1 })
  const file = join(fleet.directory, 'a.backup')
  await operate(fleet, 'backup', file)
  const bytes = readFileSync(file)
  bytes[Math.floor(bytes.length / 2)]! ^= 0x01
  writeFileSync(file, bytes)
  for (const command of [
    ['backup', 'verify', file],
    ['restore', '--from', file, '--data', join(fleet.directory, 'new'), '--node', '9', '--address', '127.0.0.1:1'],
  ]) {
    const { code, stderr } = await concordat(command)
    expect(code).toBe(1)
    expect(stderr).toContain('BACKUP_DAMAGED')
  }
})
