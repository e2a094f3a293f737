import { afterAll, beforeAll, expect, test } from 'vitest'
import { LocalServers } from '../../../localdb/index.ts'
import { draw, replay } from './driver.support.ts'
import { DEADLOCK_MS, nextStep, PREPARED_MAX, PretendedPostgres, RealPostgres } from './postgres.support.ts'

const servers = new LocalServers()
let real: RealPostgres
beforeAll(async () => {
  const settings = { max_prepared_transactions: String(PREPARED_MAX), deadlock_timeout: `${DEADLOCK_MS}ms` }
  real = new RealPostgres(await servers.startPostgres({ settings }))
})
afterAll(async () => {
  await real?.close()
  await servers.close()
})

const SEEDS = Number(process.env.DIFFERENTIAL_SEEDS ?? 8)

test.each(Array.from({ length: SEEDS }, (_, index) => index + 1))(
  'random statements of three sessions come to the same in both servers (seed %i)',
  { timeout: 60_000 },
  async (seed) => {
    const { steps, told } = await draw(real, seed, 50, nextStep)
    expect(await replay(new PretendedPostgres(), steps)).toEqual(told)
  },
)
