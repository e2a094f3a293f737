import { randomBytes } from 'node:crypto'
import { LmdbStore } from '../../src/kv/index.ts'

/** Writes more than fits, and prints what came of it. An unhandled rejection would end the process before the last line. */
async function fill(directory: string): Promise<void> {
  const store = await LmdbStore.open(directory)
  await store.write({ effects: [['da', Buffer.from('kept')]], mark: Buffer.from('first') })
  const keys = Array.from({ length: 3000 }, (_, index) => `d${String(index).padStart(4, '0')}`)
  const effects = keys.map((key) => [key, randomBytes(1000)] as const)
  const told = await store.write({ effects, mark: Buffer.from('second') }).then(
    () => 'written',
    (error: { code?: string }) => error.code,
  )
  await new Promise((resolve) => setTimeout(resolve, 100))
  await store.close()
  const again = await LmdbStore.open(directory)
  console.log(`${told} ${again.mark} ${again.get('da')}`)
  process.exit(0)
}

const directory = process.env.KV_DIRECTORY
if (directory !== undefined) await fill(directory)
