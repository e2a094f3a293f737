import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { systemClock } from '../base/index.ts'
import { WalLockedError, WalNotEmptyError } from './errors.ts'
import { IDENTITY, TextLog, texts } from './fixture.support.ts'
import { lockDirectory } from './lock-file.ts'
import { nodeDisk } from './node-disk.ts'
import { setAsideDamagedLog } from './set-aside.ts'

let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'concordat-wal-'))
})
afterEach(() => {
  rmSync(root, { recursive: true, force: true })
})

function open(directory = join(root, 'data', 'log')): Promise<TextLog> {
  return TextLog.open(nodeDisk, { directory, clock: systemClock, defer: setImmediate })
}

test('a log on the real disk gives back its records over many segments', async () => {
  const log = await open()
  const all = texts(40, 900)
  for (const text of all) await log.append(text)
  const { positions, done } = log.place('last')
  await done
  expect((await log.wal.read(positions[0]!)).payload.toString()).toBe('last')
  await log.wal.close()
  const again = await open()
  expect(again.replayed).toEqual([...all, 'last'])
  expect(again.failures).toEqual([])
  await again.wal.close()
})

test('old segments of the real disk are removed, and what is left opens', async () => {
  const log = await open(root)
  const all = texts(12, 1300)
  const positions = all.flatMap((text) => log.place(text).positions)
  await log.wal.removeBefore(positions[7]!)
  await log.wal.close()
  expect(readdirSync(root).filter((name) => name.endsWith('.wal'))[0]).toBe('000000000003.wal')
  const again = await open(root)
  expect(again.replayed).toEqual(all.slice(6))
  await again.wal.close()
})

test('a damaged log of the real disk is set aside, and its fresh one opens', async () => {
  const log = await open(root)
  await log.append(...texts(12, 1300))
  await log.wal.close()
  const path = join(root, '000000000001.wal')
  const content = readFileSync(path)
  content[5000]! ^= 1
  writeFileSync(path, content)
  const damage = await open(root).catch((error) => error)
  expect(damage).toMatchObject({ code: 'WAL_DAMAGED', file: path })
  const firstRecords = [{ type: 1, payload: Buffer.from('lost') }]
  const options = { disk: nodeDisk, directory: root, identity: IDENTITY, segmentBytesMax: 8192, firstRecords }
  const { movedTo, storeId } = await setAsideDamagedLog(options, damage)
  expect(readFileSync(join(movedTo, '000000000001.wal'))).toEqual(content)
  const again = await open(root)
  expect(again.replayed).toEqual(['lost'])
  expect([again.wal.storeId, storeId]).toEqual([log.wal.storeId, log.wal.storeId])
  await again.wal.close()
})

test('segments have their full size at once, and only their owner may read them', async () => {
  const log = await open(root)
  await log.append('x')
  await log.wal.close()
  const files = readdirSync(root).filter((name) => name.endsWith('.wal'))
  expect(files).toContain('000000000001.wal')
  for (const file of files) {
    const { size, mode, blocks } = statSync(join(root, file))
    expect({ size, mode: mode & 0o777 }).toEqual({ size: 8192, mode: 0o600 })
    expect(blocks * 512).toBeGreaterThanOrEqual(8192)
  }
})

test('a directory that something else uses is refused', async () => {
  symlinkSync('somewhere', join(root, 'notes'))
  await expect(open(root)).rejects.toThrow(WalNotEmptyError)
})

test('a live process keeps others out, and is named', async () => {
  const release = await lockDirectory(root)
  const error = await lockDirectory(root).catch((caught) => caught)
  expect(error).toBeInstanceOf(WalLockedError)
  expect(error).toMatchObject({ pid: process.pid, retryable: true })
  await release()
  await (await lockDirectory(root))()
})

test('the lock of a dead process, of a used-again pid or of an earlier boot does not block', async () => {
  const gone = await deadPid()
  for (const holder of [`${gone} -`, `${process.pid} 00000000-0000/1`, 'released', 'garbage']) {
    const lock = join(root, 'lock.5')
    rmSync(lock, { force: true })
    symlinkSync(holder, lock)
    const release = await lockDirectory(root)
    expect(readdirSync(root)).toEqual(['lock.6'])
    await release()
    rmSync(join(root, 'lock.6'))
  }
})

test.skipIf(process.platform !== 'linux')('a process that ended but was not waited for does not block', async () => {
  const parent = spawn('sh', ['-c', 'sleep 0.1 & echo $!; exec sleep 20'], { stdio: ['ignore', 'pipe', 'inherit'] })
  try {
    const [line] = await once(parent.stdout!, 'data')
    // The parent must have become sleep, and the child have ended: only then it is nobody's to wait for.
    await expect.poll(() => readFileSync(`/proc/${Number(line)}/stat`, 'utf8'), { timeout: 10_000 }).toMatch(/\) Z /)
    symlinkSync(`${Number(line)} -`, join(root, 'lock.1'))
    await (await lockDirectory(root))()
  } finally {
    parent.kill('SIGKILL')
  }
})

test('where start times are not known, a living pid is taken for the holder', async () => {
  symlinkSync(`${process.pid} -`, join(root, 'lock.1'))
  await expect(lockDirectory(root)).rejects.toThrow(WalLockedError)
})

test('of many that find the same stale lock at once, one gets it', async () => {
  for (let round = 0; round < 20; round++) {
    symlinkSync('released', join(root, 'lock.1'))
    const results = await Promise.allSettled(Array.from({ length: 8 }, () => lockDirectory(root)))
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    for (const name of readdirSync(root)) rmSync(join(root, name))
  }
})

test('kill -9 in the middle of writing loses no acknowledged record', async () => {
  const directory = join(root, 'log')
  let known = 0
  for (let round = 0; round < 3; round++) {
    const child = startWriter(directory)
    let acknowledged = 0
    for await (const line of createInterface({ input: child.stdout! })) {
      acknowledged = Number(line)
      if (acknowledged >= known + 300) child.kill('SIGKILL')
    }
    // Its end of the pipe closes a little before the process is gone.
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    const log = await open(directory)
    expect(log.replayed.length).toBeGreaterThanOrEqual(acknowledged)
    expect(log.replayed).toEqual(log.replayed.map((_, index) => `${index + 1}`))
    known = log.replayed.length
    await log.wal.close()
  }
})

/** A process that appends 1, 2, 3, … after what is there, and prints each number once it is durable. */
function startWriter(directory: string): ChildProcess {
  const index = new URL('./index.ts', import.meta.url).href
  const code = `
    import { nodeDisk, Wal } from '${index}'
    let count = 0
    const wal = await Wal.open({ disk: nodeDisk, directory: ${JSON.stringify(directory)}, identity: ${JSON.stringify(IDENTITY)},
      segmentBytesMax: 8192, onRecord: () => { count++ }, onFailure: (error) => { throw error } })
    const next = () => {
      const mine = ++count
      wal.append([{ type: 1, payload: Buffer.from(String(mine)) }], () => { process.stdout.write(mine + '\\n'); next() })
    }
    next(); next(); next()
  `
  const cwd = fileURLToPath(new URL('../..', import.meta.url))
  return spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', code], {
    cwd,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
}

async function deadPid(): Promise<number> {
  const child = spawn(process.execPath, ['-e', ''])
  await new Promise((resolve) => child.once('exit', resolve))
  return child.pid!
}
