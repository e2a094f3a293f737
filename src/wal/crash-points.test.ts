import { expect, test } from 'vitest'
import { DIRECTORY, drawFrom, settle, TextLog, texts } from './fixture.support.ts'
import { MemoryDisk } from './memory-disk.ts'
import type { Fate } from './memory-faults.ts'
import { everyCrash, opened, Promised } from './storage-failures.support.ts'

/** A log's whole life: its first start, several segments, removals, a clean end, a kill and starts after both. */
async function live(disk: MemoryDisk, promised: Promised): Promise<MemoryDisk> {
  let log = await TextLog.open(disk)
  await promised.append(log, texts(3, 30, 'small'))
  await promised.append(log, texts(5, 1300, 'large'))
  await promised.removeAllButLast(log)
  await promised.append(log, texts(2, 700, 'more'))
  await log.wal.close()
  log = await TextLog.open(disk)
  await promised.append(log, texts(4, 1300, 'after'))
  log.clock.advance(50)
  await settle()
  await promised.removeAllButLast(log)
  await promised.append(log, texts(1, 1800, 'wide'))
  return disk
}

/** A life that ends at operation `index`; answers whether it came that far. */
async function liveUntil(index: number, fate: Fate): Promise<{ disk: MemoryDisk; promised: Promised; ended: boolean }> {
  const promised = new Promised()
  const disk = new MemoryDisk({ fate: (operation) => (operation.index === index ? fate : 'done') })
  const ended = await live(disk, promised).then(
    () => false,
    () => true,
  )
  // Spares are made beside: their crash may come when all else is done.
  await settle()
  return { disk, promised, ended: ended || disk.dead }
}

test.each(['crash', 'crashAfter'] as const)(
  'after a %s at any operation, in whatever state the power leaves the disk, all acknowledged records come back',
  async (fate) => {
    let worlds = 0
    for (let index = 0; ; index++) {
      const { disk, promised, ended } = await liveUntil(index, fate)
      if (!ended) break
      for (const { after, label } of everyCrash(disk)) {
        worlds++
        const result = await opened(after)
        if (result instanceof Error) throw new Error(`${fate} at ${index}, ${label}: ${result.message}`)
        expect(promised.complaint(result), `${fate} at ${index}, ${label}`).toBeUndefined()
      }
    }
    expect(worlds).toBeGreaterThan(1000)
  },
  120_000,
)

test('a kill at any operation loses nothing that was written', async () => {
  for (let index = 0; ; index++) {
    const { disk, promised, ended } = await liveUntil(index, 'crash')
    if (!ended) break
    const result = await opened(disk.kill())
    if (result instanceof Error) throw new Error(`kill at ${index}: ${result.message}`)
    expect(promised.complaint(result), `kill at ${index}`).toBeUndefined()
  }
})

test('after a failed operation at any point, the power may go: nothing that was acknowledged is lost', async () => {
  for (let index = 0; ; index++) {
    const { disk, promised } = await liveUntil(index, 'EIO')
    if (disk.operations <= index) break
    for (const next of [...Array.from({ length: 6 }, (_, seed) => disk.crash(drawFrom(seed))), disk.kill()]) {
      const result = await opened(next)
      if (result instanceof Error) throw new Error(`EIO at ${index}: ${result.message}`)
      expect(promised.complaint(result), `EIO at ${index}`).toBeUndefined()
      // What a start has handed out counts, though the platter never got the failed write.
      expect(await opened(next.crash(() => 0)), `EIO at ${index}`).toEqual(result)
    }
  }
}, 60_000)

test('a start that crashes at any operation, and the next one too, loses nothing', async () => {
  for (const lastWrite of [40, 400, 2000]) {
    const promised = new Promised()
    const first = await live(new MemoryDisk(), promised)
    const log = await TextLog.open(first.kill())
    promised.written.length = 0
    promised.written.push(...log.replayed)
    promised.acknowledged = log.replayed.length
    promised.needed = 0
    await promised.append(log, ['y'.repeat(lastWrite)])
    const torn = first.kill()
    for (let index = 0; ; index++) {
      const start = torn.crash(drawFrom(index), { fate: (operation) => (operation.index === index ? 'crash' : 'done') })
      await opened(start).catch(() => undefined)
      if (!start.dead) break
      for (let seed = 0; seed < 25; seed++) {
        const result = await opened(start.crash(drawFrom(seed)))
        if (result instanceof Error) throw new Error(`crash at ${index}, seed ${seed}: ${result.message}`)
        expect(promised.complaint(result), `crash at ${index}, seed ${seed}`).toBeUndefined()
      }
    }
  }
}, 60_000)

test('a crash never leaves more than a start cleans up', async () => {
  for (let index = 5; index < 200; index += 7) {
    const { disk, ended } = await liveUntil(index, 'crash')
    if (!ended) break
    const after = disk.crash(drawFrom(index))
    const log = await TextLog.open(after)
    await settle()
    const names = [...(await after.list(DIRECTORY))].sort()
    expect(
      names.every((name) => name.endsWith('.wal')),
      names.join(' '),
    ).toBe(true)
    expect(names.length).toBe(log.wal.stats.segments)
    await log.wal.close()
  }
})
