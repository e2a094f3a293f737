import type { Prng } from '../../base/index.ts'
import type { Cast } from './draw-faults.ts'
import type { Ambush, Fault, FaultAction, Moment } from './fault.ts'

// Faults that are drawn one by one rarely meet in the order, and within the milliseconds, that a mistake in consensus needs
// to show. A scene is a few of them that belong together, most of them lying in wait for a decisive moment.

interface Cue {
  /** After the scene's beginning. */
  readonly atMs: number
  readonly ambush?: Ambush
  readonly action: FaultAction
}

type Scene = (prng: Prng, cast: Cast) => readonly Cue[]

const MOMENTS: readonly Moment[] = [
  'elected',
  'elected',
  'change',
  'joint',
  'vote',
  'doubt',
  'chunk',
  'chunk',
  'install',
]

const SCENES: readonly Scene[] = [
  dyingLeaders,
  figureEight,
  forgetfulVoter,
  splitOfJointVoters,
  minorityThatHearsTwice,
  frozenLeader,
  changesOfTwoLeaders,
  leaderWithoutVote,
  removalKnownToOne,
  anyAmbush,
  anyAmbush,
]

/** A run needs so long for a scene. */
const SCENE_MS = 5_000

/** What a run has of scenes. */
export interface Programme {
  readonly faults: readonly Fault[]
  /** Nothing else goes wrong, so that nothing disturbs them. */
  readonly only: boolean
}

/** In every other run up to three scenes; or one and the same again and again, and nothing else. */
export function drawScenes(prng: Prng, cast: Cast, untilMs: number, firstId: number): Programme {
  if (cast.nodes < 3 || prng.chance(0.5)) return { faults: [], only: false }
  const faults: Fault[] = []
  const play = (scene: Scene, beginMs: number): void => {
    for (const { atMs, ambush, action } of scene(prng, cast)) {
      faults.push({ id: firstId + faults.length, atMs: beginMs + atMs, ambush, action })
    }
  }
  // The first second belongs to the first election.
  const firstMs = 1_000
  const only = prng.chance(0.4)
  if (only) {
    const scene = prng.pick(SCENES)
    for (let atMs = firstMs; atMs < untilMs; atMs += SCENE_MS) play(scene, atMs)
  } else {
    const lastMs = Math.max(firstMs, untilMs - SCENE_MS)
    for (let count = prng.between(1, 3); count > 0; count--) play(prng.pick(SCENES), prng.between(firstMs, lastMs))
  }
  return { faults, only }
}

/**
 * One leader after the other is cut off as soon as it is elected, or a little later, and dies: each leaves entries on one
 * node or two that may or may not be committed.
 */
function dyingLeaders(prng: Prng): readonly Cue[] {
  const cues: Cue[] = [{ atMs: 0, action: crashOf('leader', prng.pick([50, 400])) }]
  for (let nth = prng.between(2, 6); nth > 0; nth--) {
    const afterMs = prng.pick([0, 0, 1, 2, 4, 8, 30])
    const ambush = { moment: 'elected', nth, afterMs } as const
    if (prng.chance(0.6)) cues.push({ atMs: 0, ambush, action: alone('subject', prng.between(20, 400)) })
    const dies = { ...ambush, afterMs: afterMs + prng.pick([0, 3, 20]) }
    cues.push({ atMs: 0, ambush: dies, action: crashOf('subject', prng.pick([0, 50, 400, 1_500])) })
  }
  return cues
}

/**
 * Figure 8 of the Raft paper. The leader goes on alone for a while; the next one keeps its first entry for itself; the first
 * is elected again and begins to spread what it wrote alone; then it is gone, and the second comes back.
 */
function figureEight(prng: Prng): readonly Cue[] {
  const conditions = { latencyMs: prng.pick([5, 15]), jitterMs: 5 }
  const next = { moment: 'elected', nth: 1, afterMs: prng.pick([0, 0, 5]) } as const
  const again = { moment: 'elected', nth: 2, afterMs: prng.between(2, 150) } as const
  const goneMs = prng.between(1_000, 2_500)
  return [
    { atMs: 0, action: { kind: 'weather', conditions, forMs: 8_000 } },
    { atMs: 0, action: alone('leader', prng.between(700, 1_500)) },
    { atMs: 0, ambush: next, action: alone('subject', prng.between(1_500, 3_000)) },
    { atMs: 0, ambush: again, action: prng.chance(0.5) ? alone('subject', goneMs) : crashOf('subject', goneMs) },
  ]
}

/**
 * A leader is frozen and cut off, another is elected, one of its voters loses what it wrote last and comes back, and the
 * old leader, which knows of nothing, is the first that it hears.
 */
function forgetfulVoter(prng: Prng): readonly Cue[] {
  const ambush = { moment: 'elected', nth: 1, afterMs: prng.pick([1, 3, 10]) } as const
  const frozenMs = prng.between(600, 1_200)
  return [
    { atMs: 0, action: { kind: 'pause', target: 'leader', forMs: frozenMs } },
    { atMs: 0, action: alone('leader', frozenMs) },
    { atMs: 0, ambush, action: alone('subject', prng.between(1_500, 4_000)) },
    { atMs: 0, ambush, action: { kind: 'bitFlip', target: 'bystander', bits: prng.pick([1, 3]), seed: prng.uint32() } },
    { atMs: 0, ambush, action: crashOf('bystander', prng.pick([0, 50])) },
  ]
}

/** A voter is exchanged, and while both sets of voters count they are torn apart. */
function splitOfJointVoters(prng: Prng, { nodes }: Cast): readonly Cue[] {
  const ambush = { moment: 'joint', nth: 1, afterMs: prng.pick([0, 0, 0, 0.2, 1, 3]) } as const
  return [
    { atMs: 0, action: { kind: 'swapMember', target: prng.between(1, nodes), forMs: 8_000 } },
    { atMs: 0, ambush, action: { kind: 'splitJoint', forMs: prng.between(800, 4_000) } },
  ]
}

/** The smaller side of a split hears every message several times. */
function minorityThatHearsTwice(prng: Prng, { nodes }: Cast): readonly Cue[] {
  const first = prng.between(1, nodes)
  const side = Array.from({ length: Math.floor((nodes - 1) / 2) }, (_, i) => ((first + i - 1) % nodes) + 1)
  const forMs = prng.between(1_500, 5_000)
  const frames = { drop: 0, duplicate: prng.pick([0.2, 0.6]), delay: 0.1, delayMsMax: 5 }
  return [
    { atMs: 0, action: { kind: 'partition', side, oneWay: false, reachable: true, forMs } },
    { atMs: 0, action: { kind: 'weather', conditions: { frames }, forMs } },
  ]
}

/** A leader is frozen or cut off until another is elected, and then goes on at once. */
function frozenLeader(prng: Prng): readonly Cue[] {
  const isolation = { kind: 'partition', side: ['leader'], oneWay: prng.chance(0.3), reachable: true } as const
  const cues: Cue[] = []
  for (let i = 0; i < 3; i++) {
    const forMs = prng.between(300, 1_500)
    const atMs = i * 1_800
    cues.push({ atMs, action: { kind: 'pause', target: 'leader', forMs } })
    if (prng.chance(0.6)) cues.push({ atMs, action: { ...isolation, forMs: forMs + prng.between(50, 800) } })
  }
  return cues
}

/**
 * A leader that has just appended a change is cut off with it or dies, when perhaps one other has it; the next one is asked
 * for another change at once.
 */
function changesOfTwoLeaders(prng: Prng, { nodes }: Cast): readonly Cue[] {
  const target = prng.between(1, nodes)
  const forMs = 6_000
  const first: FaultAction = { kind: prng.chance(0.8) ? 'swapMember' : 'demote', target, forMs }
  const goneMs = prng.between(400, 2_500)
  const appended = { moment: 'change', nth: prng.pick([2, 2, 1, 3]), afterMs: prng.between(0, 30) } as const
  return [
    { atMs: 0, action: { kind: 'weather', conditions: { latencyMs: prng.pick([1, 10, 20]), jitterMs: 10 }, forMs } },
    { atMs: 0, action: first },
    { atMs: 0, ambush: appended, action: prng.chance(0.5) ? crashOf('subject', goneMs) : alone('subject', goneMs) },
    {
      atMs: 0,
      ambush: { moment: 'elected', nth: 1, afterMs: prng.pick([0, 5, 20]) },
      action: { kind: 'addMember', forced: true, forMs },
    },
  ]
}

/** The leader of four or more is removed or loses its vote, and is cut off with one of the others in that moment. */
function leaderWithoutVote(prng: Prng, { nodes }: Cast): readonly Cue[] {
  const kind = prng.pick(['demote', 'demote', 'removeMember'] as const)
  const removal: FaultAction = { kind, target: 'leader', forMs: 3_000 }
  const ambush = { moment: 'removed', nth: 1, afterMs: prng.pick([0, 0, 0.5, 3]) } as const
  const side = ['subject', 'bystander']
  return [
    ...(nodes === 3 ? [{ atMs: 0, action: { kind: 'addMember', forced: false, forMs: 3_000 } } as const] : []),
    { atMs: prng.between(2_000, 3_500), action: removal },
    {
      atMs: 0,
      ambush,
      action: { kind: 'partition', side, oneWay: false, reachable: true, forMs: prng.between(1_500, 4_000) },
    },
  ]
}

/**
 * A leader is removed, and cut off when it alone knows that this is committed. Its operator switches it off when it says
 * that it is done; and another machine is lost, which is one of those that count then.
 */
function removalKnownToOne(prng: Prng, { nodes }: Cast): readonly Cue[] {
  const removedAtMs = prng.between(2_000, 2_500)
  const lossAtMs = removedAtMs + prng.between(300, 2_400)
  return [
    ...(nodes === 3 ? [{ atMs: 0, action: { kind: 'addMember', forced: false, forMs: 2_000 } } as const] : []),
    { atMs: removedAtMs, action: { kind: 'removeMember', target: 'leader', forMs: 2_000 } },
    { atMs: 0, ambush: { moment: 'removed', nth: 1, afterMs: 0 }, action: alone('subject', 3_000) },
    { atMs: lossAtMs, action: { kind: 'replaceMember', target: prng.between(1, nodes), forMs: 6_000 } },
  ]
}

/** At some moment something happens to whoever has it, or to somebody near. */
function anyAmbush(prng: Prng): readonly Cue[] {
  const moment = prng.pick(MOMENTS)
  const cues: Cue[] = []
  for (let nth = prng.between(1, 4); nth > 0; nth--) {
    const ambush = { moment, nth, afterMs: prng.pick([0, 0, 0.5, 2, 10, 100]) }
    cues.push({ atMs: 0, ambush, action: anyHarm(prng, prng.pick(['subject', 'subject', 'bystander', 'leader'])) })
  }
  return cues
}

function anyHarm(prng: Prng, target: string): FaultAction {
  const forMs = prng.between(100, 2_500)
  return prng.pick<FaultAction>([
    crashOf(target, prng.pick([0, 50, 400, 1_500])),
    alone(target, forMs),
    { kind: 'pause', target, forMs },
    { kind: 'bitFlip', target, bits: prng.pick([1, 3]), seed: prng.uint32() },
    { kind: 'slowDisk', target, latencyMs: prng.pick([5, 50, 400]), forMs },
    { kind: 'reset', a: 'subject', b: 'bystander' },
    { kind: 'transfer', to: undefined },
    { kind: 'blackout', downMs: prng.pick([0, 50, 400]) },
  ])
}

function crashOf(target: string, downMs: number): FaultAction {
  return { kind: 'crash', target, death: 'power', downMs }
}

/** Cut off from the other coordinators, but not from applications and databases. */
function alone(target: string, forMs: number): FaultAction {
  return { kind: 'partition', side: [target], oneWay: false, reachable: true, forMs }
}
