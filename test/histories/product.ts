import { built } from '../../bench/lib/built.ts'
import type * as client from '../../src/client/index.ts'
import type * as kvFolder from '../../src/kv/index.ts'
import type * as server from '../../src/server/index.ts'

// The built package: this is what users run, and a process that is killed often must start quickly.
const [clientModule, kvModule, serverModule] = await Promise.all([
  built<typeof client>('client'),
  built<typeof kvFolder>('kv'),
  built<typeof server>('server'),
])

export const { Concordat } = clientModule
export const { askKvStatus, kv } = kvModule
export const { askStatus } = serverModule
