import type { Prng } from '../../base/index.ts'
import type { Cast } from './draw-faults.ts'
import type { Fault, FaultAction, Target } from './fault.ts'

/** Participants that count in targets: what is beyond the run's own goes round. */
const PARTICIPANTS = 6
/** Usual time between two faults. */
const GAPS_MS = [300, 1_000, 3_000]

type Maker = (prng: Prng, cast: Cast) => FaultAction

/** What hurts participants in other processes, with how often each comes. */
const MAKERS: readonly (readonly [number, Maker])[] = [
  [4, (prng) => ({ kind: 'crash', target: any(prng), death: death(prng), downMs: downMs(prng) })],
  [
    6,
    (prng) => ({
      kind: 'crashAt',
      target: any(prng),
      seam: prng.pick(['task', 'timer', 'later', 'send', 'send', 'disk', 'disk', 'any'] as const),
      uses: prng.between(1, prng.pick([3, 30, 200])),
      death: death(prng),
      downMs: downMs(prng),
    }),
  ],
  [1, (prng) => ({ kind: 'restart', target: any(prng), downMs: 0 })],
  [2, (prng) => ({ kind: 'pause', target: any(prng), forMs: prng.between(100, 9_000) })],
  [3, (prng, cast) => ({ kind: 'cut', ...pair(prng, cast), forMs: prng.between(100, 8_000) })],
  [2, (prng, cast) => ({ kind: 'reset', ...ends(prng, cast) })],
  [1, (prng, cast) => ({ kind: 'swallow', ...pair(prng, cast) })],
  [
    2,
    (prng) => ({
      kind: 'slowDisk',
      target: any(prng),
      latencyMs: prng.pick([5, 50, 400]),
      forMs: prng.between(300, 4_000),
    }),
  ],
  [
    1,
    (prng) => ({
      kind: 'badDisk',
      target: any(prng),
      writeError: prng.pick([0.02, 0.3]),
      readError: prng.pick([0, 0, 0.05]),
      forMs: prng.between(200, 2_000),
    }),
  ],
  [
    1,
    (prng) => ({
      kind: 'fullDisk',
      target: any(prng),
      roomBytes: prng.pick([0, 4_096, 70_000]),
      forMs: prng.between(500, 4_000),
    }),
  ],
  [1, (prng) => ({ kind: 'wallJump', target: any(prng), byMs: prng.pick([-3_600_000, -5_000, 5_000, 3_600_000]) })],
]

/** Draws what goes wrong with participants; each run knows some kinds only. @param firstId ids below are taken */
export function drawParticipantFaults(prng: Prng, cast: Cast, untilMs: number, firstId: number): Fault[] {
  const makers = MAKERS.filter(() => prng.chance(0.5)).flatMap(([weight, maker]) => Array<Maker>(weight).fill(maker))
  if (makers.length === 0) return []
  const gapMs = prng.pick(GAPS_MS)
  const faults: Fault[] = []
  for (let atMs = prng.below(1_000); atMs < untilMs; atMs += 1 + prng.below(2 * gapMs)) {
    faults.push({ id: firstId + faults.length, atMs, action: prng.pick(makers)(prng, cast) })
  }
  return faults
}

function any(prng: Prng): Target {
  return `participant:${prng.between(1, PARTICIPANTS)}`
}

/** A participant and somebody that it talks with. */
function ends(prng: Prng, { nodes, applications }: Cast): { readonly a: Target; readonly b: Target } {
  const other = prng.chance(0.6)
    ? prng.pick(['leader', prng.between(1, nodes)])
    : `application:${prng.between(1, applications)}`
  return prng.chance(0.5) ? { a: any(prng), b: other } : { a: other, b: any(prng) }
}

function pair(prng: Prng, cast: Cast): { readonly from: Target; readonly to: Target } {
  const { a, b } = ends(prng, cast)
  return { from: a, to: b }
}

function death(prng: Prng): 'killed' | 'power' {
  return prng.chance(0.5) ? 'killed' : 'power'
}

function downMs(prng: Prng): number {
  return prng.pick([0, 50, 400, 1_500, 6_000])
}
