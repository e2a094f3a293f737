import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, test } from 'vitest'
import { ACCOUNTS, openIn } from './killed.support.ts'

const SCRIPT = join(import.meta.dirname, 'killed.support.ts')
/** Transfers after which the process is killed, in each of its lives. */
const LIVES = [150, 1, 400]

/** Lets a participant work in a process of its own until it has told of `count` transfers, and kills it amid the next. */
async function workAndDie(directory: string, count: number): Promise<string[]> {
  const child = spawn(process.execPath, ['--import', 'tsx', SCRIPT], {
    env: { ...process.env, KV_DIRECTORY: directory },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const told: string[] = []
  const lines = createInterface({ input: child.stdout })
  lines.on('line', (line) => {
    told.push(line)
    if (told.length === count) child.kill('SIGKILL')
  })
  const [, signal] = await once(child, 'close')
  expect(signal).toBe('SIGKILL')
  return told
}

test('P1, P4: kill -9 of a participant at work, again and again, loses no commit and leaves no half of one', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'concordat-kv-'))
  try {
    const told: string[] = []
    for (const count of LIVES) told.push(...(await workAndDie(directory, count)))
    const kv = await openIn(directory)
    // Whoever was told to commit and did not come so far is in doubt, and nobody else.
    for (const { txid } of kv.inDoubt()) {
      expect(told).not.toContain(txid)
      await kv.commit(txid)
    }
    for (const txid of told) expect(kv.evidence(txid), txid).toBe('committed')
    const done = new Set<string>()
    let from: string | undefined = ''
    while (from !== undefined) {
      const page = await kv.scan({ prefix: 'done/', from })
      for (const { key } of page.entries) done.add(key.slice('done/'.length))
      from = page.next
    }
    for (const txid of told) expect(done.has(txid), txid).toBe(true)
    const { entries } = await kv.scan({ prefix: 'account/' })
    expect(entries.reduce((sum, { value }) => sum + Number(value), 0)).toBe(0)
    expect(entries.length).toBeLessThanOrEqual(ACCOUNTS.length)
    expect(kv.transactions).toBe(0)
    await kv.close()
  } finally {
    await rm(directory, { recursive: true })
  }
}, 60_000)
