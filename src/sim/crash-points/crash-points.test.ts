import { expect, test } from 'vitest'
import { FAILPOINTS, type FailpointName } from '../../base/index.ts'
import { crashAt } from './crash-run.ts'
import { faultOf, type SimulatedRow, simulatedRows } from './rows.ts'
import { scenarioOf } from './scenarios.ts'
import { FOUR_WAYS } from './ways.ts'

// Some of the ways of each point here, so that the suite stays quick; `npm run crash-points` tries all.
const rows = simulatedRows()
const points = [...new Set(rows.map(({ point }) => point))]

test('at least 60 points are reached in the simulator, each in four ways', () => {
  expect(points.length).toBeGreaterThanOrEqual(60)
  for (const name of points) {
    const ways = rows.filter(({ point }) => point === name).map(({ way }) => way)
    expect(ways, name).toEqual(expect.arrayContaining([...FOUR_WAYS]))
  }
})

/** One way in four, another one for each point that follows. */
const STRIDE = 4

function waysInSuite(point: FailpointName, index: number): readonly SimulatedRow[] {
  return rows.filter((row) => row.point === point).filter((_, nth) => (nth + index) % STRIDE === 0)
}

test.each(points.map((point, index) => ({ point, index, promises: FAILPOINTS[point].promises })))(
  '$promises: a crash at $point',
  async ({ point, index }) => {
    const faults: string[] = []
    for (const row of waysInSuite(point, index)) {
      const fault = await faultOf(row, 1)
      if (fault !== undefined) faults.push(fault)
    }
    expect(faults.join('\n')).toBe('')
  },
)

test('whoever dies at a point does nothing behind it: the same seed without the crash goes on there', async () => {
  const point = 'coordinator.commit.before-propose'
  const scenario = scenarioOf(point)!
  const notes: string[] = []
  const { died } = await crashAt({
    point,
    way: 'takeover',
    scenario,
    seed: 1,
    onNote: ({ actor, what, atMs }) => notes.push(`${atMs} ${actor} ${what}`),
  })
  const from = notes.findIndex((note) => note.includes(`is at ${point}`))
  const back = notes.findIndex((note, index) => index > from && note.includes(`${died!.who} starts`))
  expect(from).toBeGreaterThan(0)
  expect(back).toBeGreaterThan(from)
  // Its death is all that is heard of it until it starts again.
  const between = notes.slice(from + 1, back).filter((note) => note.split(' ')[1] === died!.who)
  expect(between).toEqual([expect.stringContaining('is killed')])
})

test('the same row with the same seed is the same story', async () => {
  const row = rows.find(({ point, way }) => point === 'raft.append.follower.durable' && way === 'again')!
  const [first, second] = [await crashAt({ ...row, seed: 5 }), await crashAt({ ...row, seed: 5 })]
  expect(second).toEqual(first)
  expect((await crashAt({ ...row, seed: 6 })).hash).not.toBe(first.hash)
})
