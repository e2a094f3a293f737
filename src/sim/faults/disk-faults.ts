import { type DiskConditions, HEALTHY } from '../disk/conditions.ts'
import { flipBits } from '../disk/damage.ts'
import type { FaultContext } from './context.ts'
import type { FaultAction, Target } from './fault.ts'

type Action<Kind extends FaultAction['kind']> = Extract<FaultAction, { kind: Kind }>

export function slowDisk(context: FaultContext, { target, latencyMs, forMs }: Action<'slowDisk'>): void {
  change(context, target, { latencyMs, jitterMs: latencyMs }, forMs)
}

export function badDisk(context: FaultContext, { target, writeError, readError, forMs }: Action<'badDisk'>): void {
  change(context, target, { writeError, readError }, forMs)
}

export function fullDisk(context: FaultContext, { target, roomBytes, forMs }: Action<'fullDisk'>): void {
  const disk = context.disk(target)
  if (disk !== undefined) change(context, target, { capacityBytes: disk.usedBytes + roomBytes }, forMs)
}

/** Rot: durable bits change by themselves. */
export function bitFlip(context: FaultContext, { target, bits, seed }: Action<'bitFlip'>): void {
  const node = context.node(target)
  if (node === undefined || !context.atlas.mayDamage(node)) return
  context.atlas.noteDamage(node)
  const where = flipBits(node.disk, '/data', bits, seed)
  context.world.note(node.name, () => `bits rot: ${where.join(', ')}`)
  if (where.length > 0) context.world.mark('bits rotted')
}

/** The next durable write lands on top of older records, and the disk says that all is well. */
export function misdirect(context: FaultContext, { target, byBytes }: Action<'misdirect'>): void {
  const node = context.node(target)
  if (node === undefined || !context.atlas.mayDamage(node)) return
  context.atlas.noteDamage(node)
  node.disk.misdirectBy = -byBytes
  node.disk.onMisdirected = (path, from, to) => {
    context.world.mark('write misdirected')
    context.world.note(node.name, `a write to ${path} lands at ${to} instead of ${from}`)
    // From then on it is damaged, whatever run it is in.
    context.atlas.noteDamage(node)
  }
}

function change(context: FaultContext, target: Target, conditions: Partial<DiskConditions>, forMs: number): void {
  const disk = context.disk(target)
  if (disk === undefined) return
  disk.conditions = { ...HEALTHY, ...conditions }
  context.until(forMs, () => {
    disk.conditions = HEALTHY
  })
}
