// Breaks the participant into which Node loads this (`--import`), so that tests see the fault found: `?fault=` says how.
import { Replay } from '../../dist/kv/engine/replay.js'
import { KvState } from '../../dist/kv/engine/state.js'
import { keySpan, LockManager } from '../../dist/kv/locks/index.js'

const FAULTS = {
  /** Reads take no locks: what was read may be overwritten before the transaction's end. */
  readsTakeNoLocks() {
    const { request } = LockManager.prototype
    LockManager.prototype.request = function (id, owner, span, mode) {
      if (mode === 'shared') return [{ kind: 'granted', request: id, owner }]
      return request.call(this, id, owner, span, mode)
    }
  },
  /** After a restart those in doubt have the locks of their keys no more. */
  locksAreLostAtRestart() {
    const { restore } = LockManager.prototype
    LockManager.prototype.restore = function (owner) {
      return restore.call(this, owner, { span: keySpan('nowhere'), mode: 'shared' })
    }
  },
  /** After a restart those in doubt have forgotten what they are to write. */
  effectsAreLostAtRestart() {
    const { record } = Replay.prototype
    const { apply } = KvState.prototype
    let isReplaying = false
    Replay.prototype.record = function (stored) {
      isReplaying = true
      record.call(this, stored)
      isReplaying = false
    }
    KvState.prototype.apply = function (written) {
      return apply.call(
        this,
        isReplaying && written.kind === 'prepared' ? { ...written, row: { ...written.row, effects: [] } } : written,
      )
    }
  },
}

FAULTS[new URL(import.meta.url).searchParams.get('fault')]()
