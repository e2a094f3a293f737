import type { Prng } from '../../base/index.ts'
import type { Fault, FaultAction, Target } from './fault.ts'

type Maker = (prng: Prng, nodes: number) => FaultAction

/** Each kind with how often it comes, relative to the others. */
const MAKERS: readonly (readonly [number, Maker])[] = [
  [6, (prng, nodes) => ({ kind: 'crash', target: anyNode(prng, nodes), death: anyDeath(prng), downMs: downMs(prng) })],
  [1, (prng) => ({ kind: 'blackout', downMs: downMs(prng) })],
  [
    4,
    (prng, nodes) => ({
      kind: 'crashInDisk',
      target: anyNode(prng, nodes),
      operations: prng.between(1, 30),
      death: anyDeath(prng),
      downMs: downMs(prng),
    }),
  ],
  [2, (prng, nodes) => ({ kind: 'restart', target: anyNode(prng, nodes), downMs: downMs(prng) })],
  [3, (prng, nodes) => ({ kind: 'pause', target: anyNode(prng, nodes), forMs: prng.between(100, 2_500) })],
  [
    4,
    (prng, nodes) => ({
      kind: 'partition',
      side: someNodes(prng, nodes),
      oneWay: prng.chance(0.3),
      forMs: prng.between(100, 4_000),
    }),
  ],
  [
    2,
    (prng, nodes) => ({
      kind: 'cut',
      from: anyNode(prng, nodes),
      to: anyNode(prng, nodes),
      forMs: prng.between(100, 5_000),
    }),
  ],
  [2, (prng, nodes) => ({ kind: 'reset', a: anyNode(prng, nodes), b: anyNode(prng, nodes) })],
  [1, (prng, nodes) => ({ kind: 'swallow', from: anyNode(prng, nodes), to: anyNode(prng, nodes) })],
  [
    3,
    (prng) => ({
      kind: 'weather',
      conditions: {
        latencyMs: prng.pick([0.1, 1, 20]),
        jitterMs: prng.pick([0.3, 5, 60]),
        spike: prng.pick([0, 0.01, 0.1]),
        spikeMs: prng.between(10, 800),
        break: prng.pick([0, 0, 0.001]),
        frames: {
          drop: prng.pick([0, 0.02, 0.2]),
          duplicate: prng.pick([0, 0.02, 0.2]),
          delay: prng.pick([0, 0.05, 0.2]),
          delayMsMax: prng.between(1, 500),
        },
      },
      forMs: prng.between(500, 5_000),
    }),
  ],
  [
    2,
    (prng, nodes) => ({
      kind: 'slowDisk',
      target: anyNode(prng, nodes),
      latencyMs: prng.pick([5, 50, 400]),
      forMs: prng.between(300, 4_000),
    }),
  ],
  [
    2,
    (prng, nodes) => ({
      kind: 'badDisk',
      target: anyNode(prng, nodes),
      chance: prng.pick([0.02, 0.3]),
      forMs: prng.between(200, 2_000),
    }),
  ],
  [
    1,
    (prng, nodes) => ({
      kind: 'fullDisk',
      target: anyNode(prng, nodes),
      roomBytes: prng.pick([0, 4_096, 70_000]),
      forMs: prng.between(500, 4_000),
    }),
  ],
  [
    1,
    (prng, nodes) => ({
      kind: 'wallJump',
      target: anyNode(prng, nodes),
      byMs: prng.pick([-3_600_000, -5_000, 5_000, 3_600_000]),
    }),
  ],
]

/** Usual time between two faults; each run has its own temper. */
const GAPS_MS = [150, 500, 1_500]

/** Draws what goes wrong. Each run knows only some kinds, so that rare ones come together too ("swarm testing"). */
export function drawFaults(prng: Prng, nodes: number, untilMs: number): Fault[] {
  const makers = MAKERS.filter(() => prng.chance(0.5))
  if (makers.length === 0) return []
  const gapMs = prng.pick(GAPS_MS)
  const faults: Fault[] = []
  for (let atMs = prng.below(1_000); atMs < untilMs; atMs += 1 + prng.below(2 * gapMs)) {
    faults.push({ id: faults.length, atMs, action: weighted(prng, makers)(prng, nodes) })
  }
  return faults
}

function weighted(prng: Prng, makers: typeof MAKERS): Maker {
  let left = prng.below(makers.reduce((sum, [weight]) => sum + weight, 0))
  for (const [weight, maker] of makers) {
    left -= weight
    if (left < 0) return maker
  }
  return makers[0]![1]
}

function anyNode(prng: Prng, nodes: number): Target {
  return prng.chance(0.3) ? 'leader' : prng.between(1, nodes)
}

function someNodes(prng: Prng, nodes: number): Target[] {
  const all = Array.from({ length: nodes }, (_, i) => i + 1)
  const count = prng.between(1, Math.max(1, nodes - 1))
  return Array.from({ length: count }, () => all.splice(prng.below(all.length), 1)[0]!)
}

function anyDeath(prng: Prng): 'killed' | 'power' {
  return prng.chance(0.5) ? 'killed' : 'power'
}

function downMs(prng: Prng): number {
  return prng.pick([0, 50, 400, 1_500, 4_000])
}
