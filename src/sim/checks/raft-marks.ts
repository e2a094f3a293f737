import { isJoint, type RaftEffect, type RaftMessage } from '../../raft/index.ts'
import type { CheckWorld } from './raft-checks.ts'

/** Notes which of Raft's rare branches were taken, from what the cores ask for and send. */
export class RaftMarks {
  readonly #world: Pick<CheckWorld, 'mark'>
  /** Who sent which snapshot to whom, in which term. */
  readonly #sentFrom = new Set<string>()
  #joint = false

  constructor(world: Pick<CheckWorld, 'mark'>) {
    this.#world = world
  }

  look(effect: RaftEffect): void {
    switch (effect.kind) {
      case 'load':
        return this.#world.mark('entries read back from disk')
      case 'readRefused':
        return this.#world.mark('read refused')
      case 'proposalRefused':
        return this.#world.mark(`proposal refused: ${effect.reason}`)
      case 'transferFailed':
        return this.#world.mark(`transfer failed: ${effect.reason}`)
      case 'installSnapshot':
        return this.#world.mark('snapshot installed')
      case 'forgetDoubt':
        return this.#world.mark('doubtful node rebuilt')
      case 'configurationRefused':
        return this.#world.mark(`change refused: ${effect.reason}`)
      case 'configurationChanged': {
        const isJointNow = isJoint(effect.configuration)
        if (this.#joint && !isJointNow) this.#world.mark('joint change left')
        this.#joint = isJointNow
        return
      }
      default:
        return
    }
  }

  sent(message: RaftMessage): void {
    switch (message.kind) {
      case 'requestVoteResponse':
        if (!message.voteGranted) this.#world.mark(message.preVote ? 'pre-vote refused' : 'vote refused')
        return
      case 'appendEntriesResponse':
        if (!message.success) this.#world.mark('entries refused: they do not fit')
        return
      case 'timeoutNow':
        return this.#world.mark('told to campaign at once')
      case 'readIndexResponse':
        return this.#world.mark(message.granted ? 'read forwarded' : 'forwarded read refused')
      case 'installSnapshot':
        // An empty first chunk asks how much is there already: whoever goes on behind the beginning resumes.
        if (message.data.length > 0 && message.offset > 0 && !this.#sentFrom.has(keyOf(message)))
          this.#world.mark('snapshot transfer resumed')
        if (message.data.length > 0) this.#sentFrom.add(keyOf(message))
        return
      default:
        return
    }
  }
}

function keyOf({ from, to, term, snapshotId }: Extract<RaftMessage, { kind: 'installSnapshot' }>): string {
  return `${from}>${to}@${term}:${snapshotId}`
}
