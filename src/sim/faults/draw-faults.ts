import type { Prng } from '../../base/index.ts'
import type { Fault, FaultAction, Target } from './fault.ts'

/** What a run has to offer to faults. */
export interface Cast {
  readonly nodes: number
  readonly databases: number
  readonly applications: number
}

type Maker = (prng: Prng, cast: Cast) => FaultAction

/** Each kind, with how often it comes relative to the others. */
const MAKERS: readonly (readonly [number, Maker])[] = [
  [6, (prng, cast) => ({ kind: 'crash', target: anybody(prng, cast), death: anyDeath(prng), downMs: downMs(prng) })],
  [1, (prng) => ({ kind: 'blackout', downMs: downMs(prng) })],
  [
    5,
    (prng, cast) => ({
      kind: 'crashAt',
      target: anybody(prng, cast),
      seam: prng.pick(['task', 'timer', 'later', 'send', 'disk', 'disk', 'any'] as const),
      uses: prng.between(1, prng.pick([3, 30])),
      death: anyDeath(prng),
      downMs: downMs(prng),
    }),
  ],
  [2, (prng, cast) => ({ kind: 'restart', target: anyNode(prng, cast), downMs: downMs(prng) })],
  [3, (prng, cast) => ({ kind: 'pause', target: anybody(prng, cast), forMs: prng.between(100, 2_500) })],
  [
    4,
    (prng, cast) => ({
      kind: 'partition',
      side: someNodes(prng, cast),
      oneWay: prng.chance(0.3),
      reachable: prng.chance(0.4),
      forMs: prng.between(100, 4_000),
    }),
  ],
  [
    2,
    (prng, cast) => ({
      kind: 'cut',
      from: anybody(prng, cast),
      to: anybody(prng, cast),
      forMs: prng.between(100, 5_000),
    }),
  ],
  [2, (prng, cast) => ({ kind: 'reset', a: anybody(prng, cast), b: anybody(prng, cast) })],
  [1, (prng, cast) => ({ kind: 'swallow', from: anybody(prng, cast), to: anybody(prng, cast) })],
  [3, (prng) => ({ kind: 'weather', conditions: anyWeather(prng), forMs: prng.between(500, 5_000) })],
  [
    2,
    (prng, cast) => ({
      kind: 'slowDisk',
      target: anyNode(prng, cast),
      latencyMs: prng.pick([5, 50, 400]),
      forMs: prng.between(300, 4_000),
    }),
  ],
  [
    2,
    (prng, cast) => ({
      kind: 'badDisk',
      target: anyNode(prng, cast),
      writeError: prng.pick([0, 0.02, 0.3]),
      readError: prng.pick([0, 0, 0.05, 0.5]),
      forMs: prng.between(200, 2_000),
    }),
  ],
  [
    1,
    (prng, cast) => ({
      kind: 'fullDisk',
      target: anyNode(prng, cast),
      roomBytes: prng.pick([0, 4_096, 70_000]),
      forMs: prng.between(500, 4_000),
    }),
  ],
  [
    1,
    (prng, cast) => ({
      kind: 'bitFlip',
      target: anyNode(prng, cast),
      bits: prng.pick([1, 1, 3, 100]),
      seed: prng.uint32(),
    }),
  ],
  [
    1,
    (prng, cast) => ({ kind: 'misdirect', target: anyNode(prng, cast), byBytes: prng.pick([1, 512, 4_096, 20_000]) }),
  ],
  [1, (prng, cast) => ({ kind: 'transfer', to: prng.pick([undefined, prng.between(1, cast.nodes)]) })],
  [2, (prng) => ({ kind: 'addMember', forced: prng.chance(0.1), forMs: operatorMs(prng) })],
  [2, (prng, cast) => ({ kind: 'removeMember', target: anyMember(prng, cast), forMs: operatorMs(prng) })],
  [1, (prng, cast) => ({ kind: 'demote', target: anyMember(prng, cast), forMs: operatorMs(prng) })],
  [1, (prng, cast) => ({ kind: 'promote', target: anyMember(prng, cast), forMs: operatorMs(prng) })],
  [1, (prng, cast) => ({ kind: 'replaceMember', target: anyMember(prng, cast), forMs: operatorMs(prng) })],
  [1, (prng, cast) => ({ kind: 'swapMember', target: anyMember(prng, cast), forMs: operatorMs(prng) })],
  [3, (prng, cast) => ({ kind: 'upgrade', target: prng.between(1, cast.nodes), downMs: prng.pick([0, 200]) })],
  [
    1,
    (prng, cast) => ({
      kind: 'wallJump',
      target: anybody(prng, cast),
      byMs: prng.pick([-3_600_000, -5_000, 5_000, 3_600_000]),
    }),
  ],
]

/** Usual time between two faults; each run has its own temper. */
const GAPS_MS = [150, 500, 1_500]

/** Draws what goes wrong. Each run knows only some kinds, so that rare ones come together too ("swarm testing"). */
export function drawFaults(prng: Prng, cast: Cast, untilMs: number): Fault[] {
  const makers = MAKERS.filter(() => prng.chance(0.5))
  if (makers.length === 0) return []
  const gapMs = prng.pick(GAPS_MS)
  const faults: Fault[] = []
  for (let atMs = prng.below(1_000); atMs < untilMs; atMs += 1 + prng.below(2 * gapMs)) {
    faults.push({ id: faults.length, atMs, action: weighted(prng, makers)(prng, cast) })
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

function anyNode(prng: Prng, { nodes }: Cast): Target {
  return prng.chance(0.3) ? 'leader' : prng.between(1, nodes)
}

function anybody(prng: Prng, cast: Cast): Target {
  const { databases, applications } = cast
  const which = prng.below(10)
  if (which === 0 && databases > 0) return `database:${prng.between(1, databases)}`
  if (which === 1 && applications > 0) return `application:${prng.between(1, applications)}`
  return anyNode(prng, cast)
}

function someNodes(prng: Prng, { nodes }: Cast): Target[] {
  const all = Array.from({ length: nodes }, (_, i) => i + 1)
  const count = prng.between(1, Math.max(1, nodes - 1))
  return Array.from({ length: count }, () => all.splice(prng.below(all.length), 1)[0]!)
}

/** Also those that may have been added meanwhile. */
function anyMember(prng: Prng, { nodes }: Cast): Target {
  return prng.chance(0.2) ? 'leader' : prng.between(1, nodes + 3)
}

function operatorMs(prng: Prng): number {
  return prng.pick([500, 3_000, 8_000])
}

function anyDeath(prng: Prng): 'killed' | 'power' {
  return prng.chance(0.5) ? 'killed' : 'power'
}

function downMs(prng: Prng): number {
  return prng.pick([0, 50, 400, 1_500, 4_000])
}

function anyWeather(prng: Prng): Extract<FaultAction, { kind: 'weather' }>['conditions'] {
  return {
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
  }
}
