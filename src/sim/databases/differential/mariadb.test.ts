import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findMariadb, LocalServers, MARIADB_INSTALL_HINT } from '../../../localdb/index.ts'
import { draw, replay } from './driver.support.ts'
import { nextStep, PretendedMariadb, RealMariadb } from './mariadb.support.ts'

const hasMariadb = findMariadb() !== undefined
const title = hasMariadb ? 'MariaDB' : `MariaDB (skipped: run "${MARIADB_INSTALL_HINT}")`
const SEEDS = Number(process.env.DIFFERENTIAL_SEEDS ?? 6)

describe.skipIf(!hasMariadb)(title, () => {
  const servers = new LocalServers()
  let real: RealMariadb
  beforeAll(async () => {
    real = new RealMariadb(await servers.startMariadb())
  })
  afterAll(async () => {
    await real?.close()
    await servers.close()
  })

  test.each(Array.from({ length: SEEDS }, (_, index) => index + 1))(
    'random statements of three sessions come to the same in both servers (seed %i)',
    { timeout: 60_000 },
    async (seed) => {
      const { steps, told } = await draw(real, seed, 50, nextStep)
      expect(await replay(new PretendedMariadb(), steps)).toEqual(told)
    },
  )
})
