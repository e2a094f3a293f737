import { expect, test } from 'vitest'
import { DiskWatch } from './disk-watch.ts'

let ageMs = 0
const watch = (): DiskWatch => new DiskWatch({ tickMs: 10, patienceTicks: 60, oldestWriteMs: () => ageMs })

test('one write that stands still for the whole time is noticed, and then again only after the same time', () => {
  const disk = watch()
  const noticed: number[] = []
  for (let tick = 1; tick <= 130; tick++) {
    ageMs = tick * 10
    if (disk.tick(1)) noticed.push(tick)
  }
  expect(noticed).toEqual([60, 120])
})

test('a disk that is busy at every tick, with writes that come to an end, is no slow disk', () => {
  const disk = watch()
  for (let tick = 0; tick < 500; tick++) {
    ageMs = 30 + (tick % 5) * 10
    expect(disk.tick(1)).toBe(false)
  }
})

test('a process that was stopped for long does not blame its disk', () => {
  const disk = watch()
  ageMs = 60_000
  for (let tick = 0; tick < 12; tick++) expect(disk.tick(5)).toBe(tick === 11)
  ageMs = 0
  expect(disk.tick(100)).toBe(false)
})
