import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, describe } from 'vitest'
import { nodeDisk } from '../../wal/index.ts'
import { type Effect, type JournalWorld, journalContract } from '../sql-journal/journal.contract.ts'
import { LocalJournal } from './local-journal.ts'
import { WalJournal } from './wal-journal.ts'

const root = mkdtempSync(join(tmpdir(), 'cdt-journal-'))

/** The store of the service lies elsewhere, and its handlers bear being called twice: the journal asks that of them. */
class WalWorld implements JournalWorld<undefined> {
  readonly directory = mkdtempSync(join(root, 'journal-'))
  readonly #store = new Map<string, Effect>()

  async open({ clusterId, clock }: Parameters<JournalWorld<undefined>['open']>[0]): Promise<LocalJournal> {
    const log = await WalJournal.open({
      directory: this.directory,
      clusterId,
      disk: nodeDisk,
      clock,
      endedMax: 1_000,
      rewriteRecords: 1_000,
      onFailure: () => {},
    })
    return new LocalJournal(log)
  }

  async setAside(_sql: undefined, gid: string): Promise<void> {
    this.#store.set(gid, 'aside')
  }

  async makeReal(_sql: undefined, gid: string): Promise<void> {
    if (this.#store.get(gid) === 'aside') this.#store.set(gid, 'real 1')
  }

  async drop(_sql: undefined, gid: string): Promise<void> {
    if (this.#store.get(gid) === 'aside') this.#store.delete(gid)
  }

  async effect(gid: string): Promise<Effect> {
    return this.#store.get(gid) ?? 'nothing'
  }
}

let world: WalWorld
beforeEach(() => {
  world = new WalWorld()
})
afterAll(() => rmSync(root, { recursive: true, force: true }))

describe('a journal in a directory', () => journalContract(() => world))
