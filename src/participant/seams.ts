import { randomFillSync } from 'node:crypto'
import { type Clock, systemClock } from '../base/index.ts'
import { type Network, tcpNetwork } from '../transport/index.ts'
import { type Disk, nodeDisk } from '../wal/index.ts'

/**
 * What a participant takes from the machine that it runs on. Production leaves all of it out; the simulator gives its own,
 * and then nothing else decides what happens. @internal
 */
export interface ParticipantSeams {
  readonly clock: Clock
  readonly disk: Disk
  readonly network: Network
  /** Fills with random bytes: ids, seeds, names of incarnations. */
  readonly randomFill: (bytes: Uint8Array) => void
  /** Runs a task at the end of this turn of the event loop. */
  readonly later: (task: () => void) => void
}

/** `given`, and the machine's own for what it leaves out. */
export function participantSeams<Given extends Partial<ParticipantSeams>>(given: Given): ParticipantSeams & Given {
  return {
    ...given,
    clock: given.clock ?? systemClock,
    disk: given.disk ?? nodeDisk,
    network: given.network ?? tcpNetwork(),
    randomFill: given.randomFill ?? randomFillSync,
    later: given.later ?? setImmediate,
  }
}

/** The 16 random bytes of a new store's id. */
export function drawId({ randomFill }: Pick<ParticipantSeams, 'randomFill'>): Uint8Array {
  const bytes = new Uint8Array(16)
  randomFill(bytes)
  return bytes
}

/** A whole number below 2^47. */
export function drawNumber({ randomFill }: Pick<ParticipantSeams, 'randomFill'>): number {
  const bytes = Buffer.alloc(6)
  randomFill(bytes)
  return bytes.readUIntBE(0, 6) % 2 ** 47
}

/** From 0 to below 1: for jitter. */
export function drawFraction(seams: Pick<ParticipantSeams, 'randomFill'>): number {
  return drawNumber(seams) / 2 ** 47
}
