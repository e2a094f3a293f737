import type { FaultContext, Hurtable } from './context.ts'
import type { FaultAction } from './fault.ts'

type Action<Kind extends FaultAction['kind']> = Extract<FaultAction, { kind: Kind }>

/** kill -9, or the power fails. */
export function crash(context: FaultContext, { target, death, downMs }: Action<'crash'>): void {
  end(context, context.hurtable(target), death, downMs)
}

/** The power fails for all coordinators at once. */
export function blackout(context: FaultContext, { downMs }: Action<'blackout'>): void {
  for (const { nodeId } of context.fleet.nodes) end(context, context.hurtable(nodeId), 'power', downMs)
}

/** Dies at its nth use of a seam from now: any timer, message, end of a turn or disk operation. */
export function crashAt(context: FaultContext, { target, seam, uses, death, downMs }: Action<'crashAt'>): void {
  const victim = context.hurtable(target)
  const process = victim?.process()
  if (process === undefined) return
  let left = uses
  process.trap = (used) => {
    if ((seam !== 'any' && used !== seam) || --left > 0) return
    process.trap = undefined
    if (!context.healed) end(context, victim, death, downMs)
  }
}

/** SIGTERM, and a new start after its end. */
export function restart(context: FaultContext, { target, downMs }: Action<'restart'>): void {
  const node = context.node(target)
  if (node === undefined) return context.victim(target)?.stop?.()
  if (node.process === undefined) return
  node.supervised = false
  node.stop()
  const startAgain = (): void => {
    if (node.process !== undefined) {
      context.until(100, startAgain)
      return
    }
    node.supervised = true
    node.start()
  }
  context.until(downMs, startAgain)
}

/** SIGSTOP and SIGCONT. */
export function pause(context: FaultContext, { target, forMs }: Action<'pause'>): void {
  const process = context.hurtable(target)?.process()
  if (process === undefined) return
  process.pause()
  context.until(forMs, () => process.resume())
}

export function wallJump(context: FaultContext, { target, byMs }: Action<'wallJump'>): void {
  context.hurtable(target)?.process()?.jumpWall(byMs)
}

function end(context: FaultContext, victim: Hurtable | undefined, death: 'killed' | 'power', downMs: number): void {
  const process = victim?.process()
  if (victim === undefined || process === undefined) return
  process.kill(death)
  context.until(downMs, () => victim.start())
}
