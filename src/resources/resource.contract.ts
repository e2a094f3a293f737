import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type BranchId, makeGid, makeTxid, parseBranchId, parseClusterId } from '../base/index.ts'
import {
  BranchAbortedError,
  BranchEndedError,
  BranchStatementRefusedError,
  ResourceUnavailableError,
} from './errors.ts'
import type { Branch, BranchIdentity, InDoubtPort, Resource } from './resource.ts'

/** What the suite needs of an implementation. Rows are named by a key of their own, so tests don't meet. */
export interface ContractWorld<Session> {
  readonly resource: Resource<Session>
  /** A resolver's port: another process's view of the same database, with sessions of its own. */
  readonly resolver: InDoubtPort
  /** Inserts a row. */
  write(session: Session, key: string): Promise<unknown>
  /** Sends a statement that the database refuses. */
  fail(session: Session): Promise<unknown>
  /** Sends any text. */
  send(session: Session, sql: string): Promise<unknown>
  /** A statement that takes half a minute. */
  readonly slow: string
  /** Committed rows with this key, seen from outside. */
  count(key: string): Promise<number>
  /** Kills the server with SIGKILL and starts it again. */
  crash(): Promise<void>
  /** Whether evidence exists for branches of this world: with the vote's token the outcome can be proven. */
  readonly hasEvidence: boolean
  /** Whether the database frees a prepared branch at once (PostgreSQL), or only when its session closes (MariaDB). */
  readonly detaches: boolean
  close(): Promise<void>
}

export const CONTRACT_CLUSTER = parseClusterId('contract')

/** A branch of a new transaction. */
export function newIdentity(branch: BranchId = parseBranchId(0)): BranchIdentity {
  return { cluster: CONTRACT_CLUSTER, txid: makeTxid(Date.now(), randomBytes(10)), branch }
}

/** What every Resource does, on a real database. */
export function resourceContract<Session>(title: string, makeWorld: () => Promise<ContractWorld<Session>>): void {
  describe(title, () => {
    let world: ContractWorld<Session>
    beforeAll(async () => {
      world = await makeWorld()
    })
    afterAll(async () => world?.close())

    const begin = async (): Promise<{ identity: BranchIdentity; branch: Branch<Session>; key: string }> => {
      const identity = newIdentity()
      const branch = await world.resource.begin(identity)
      return { identity, branch, key: `k${identity.txid}` }
    }
    const beginWriting = async () => {
      const begun = await begin()
      await world.write(begun.branch.session, begun.key)
      return begun
    }
    const listed = async (identity: BranchIdentity): Promise<boolean> => {
      const gid = makeGid(identity.cluster, identity.txid, identity.branch)
      return (await world.resolver.list(identity.cluster)).some((prepared) => prepared.gid === gid)
    }

    test('check finds nothing wrong', async () => {
      expect(await world.resource.check()).toEqual([])
    })

    test('a branch that wrote votes commit, is listed, and shows its rows only after commit', async () => {
      const { identity, branch, key } = await beginWriting()
      expect(await branch.prepare()).toMatchObject({ kind: 'commit' })
      expect(await world.count(key)).toBe(0)
      expect(await listed(identity)).toBe(true)
      expect(await branch.commit()).toEqual({ kind: 'done' })
      expect(await world.count(key)).toBe(1)
      expect(await listed(identity)).toBe(false)
    })

    test('abort after prepare leaves nothing behind', async () => {
      const { identity, branch, key } = await beginWriting()
      expect(await branch.prepare()).toMatchObject({ kind: 'commit' })
      expect(await branch.abort()).toEqual({ kind: 'done' })
      expect(await world.count(key)).toBe(0)
      expect(await listed(identity)).toBe(false)
    })

    test('abort before prepare leaves nothing behind, and commit is then refused', async () => {
      const { identity, branch, key } = await beginWriting()
      expect(await branch.abort()).toEqual({ kind: 'done' })
      expect(await branch.abort()).toEqual({ kind: 'done' })
      await expect(branch.commit()).rejects.toThrow(BranchEndedError)
      expect(await branch.prepare()).toMatchObject({ kind: 'abort' })
      expect(await world.count(key)).toBe(0)
      expect(await listed(identity)).toBe(false)
    })

    test('commit may be repeated; commit before prepare is refused', async () => {
      const { branch, key } = await beginWriting()
      await expect(branch.commit()).rejects.toThrow(BranchEndedError)
      await branch.prepare()
      await branch.commit()
      expect(await branch.commit()).toEqual({ kind: 'done' })
      await expect(branch.abort()).rejects.toThrow(BranchEndedError)
      expect(await world.count(key)).toBe(1)
    })

    test('a branch is busy while a statement runs, and its abort does not wait for a slow one', {
      timeout: 10_000,
    }, async () => {
      const { branch, key } = await beginWriting()
      expect(branch.isBusy).toBe(false)
      const statement = world.send(branch.session, world.slow).catch(() => {})
      // postgres.js sends a query in the next microtask.
      await new Promise((resolve) => setImmediate(resolve))
      expect(branch.isBusy).toBe(true)
      // Were the abort to wait for the statement, this test would run into its timeout.
      expect(await branch.abort()).toEqual({ kind: 'done' })
      expect(await world.count(key)).toBe(0)
      void statement
    })

    test('a commit that is repeated while the first is under way shares its answer', async () => {
      const { branch, key } = await beginWriting()
      await branch.prepare()
      expect(await Promise.all([branch.commit(), branch.commit()])).toEqual([{ kind: 'done' }, { kind: 'done' }])
      expect(await world.count(key)).toBe(1)
    })

    test('a branch without any statement is read-only and needs no phase two', async () => {
      const { identity, branch } = await begin()
      expect(await branch.prepare()).toEqual({ kind: 'readOnly' })
      expect(await listed(identity)).toBe(false)
      expect(await branch.commit()).toEqual({ kind: 'done' })
    })

    test('one-phase commit needs no prepare', async () => {
      const { branch, key } = await beginWriting()
      await branch.commitOnePhase()
      expect(await world.count(key)).toBe(1)
      await expect(branch.commitOnePhase()).rejects.toThrow(BranchEndedError)
    })

    test('any statement error poisons the branch: it can only abort', async () => {
      const { identity, branch, key } = await beginWriting()
      await expect(world.fail(branch.session)).rejects.toThrow()
      expect(branch.poisonedBy).toBeInstanceOf(Error)
      expect(await branch.prepare()).toEqual({ kind: 'abort', cause: branch.poisonedBy })
      expect(await listed(identity)).toBe(false)
      expect(await world.count(key)).toBe(0)
      expect(await branch.abort()).toEqual({ kind: 'done' })
    })

    test('an error that nobody awaited poisons the branch too', async () => {
      const { branch, key } = await beginWriting()
      world.fail(branch.session).catch(() => {})
      // postgres.js sends a query a few microtasks after it was waited for.
      await new Promise(setImmediate)
      expect(await branch.prepare()).toMatchObject({ kind: 'abort' })
      expect(await world.count(key)).toBe(0)
    })

    test('an error in the very first statement poisons the branch, and nothing after it is kept', async () => {
      const { branch, key } = await begin()
      const failing = world.fail(branch.session)
      const following = world.write(branch.session, key)
      await expect(failing).rejects.toThrow()
      await following.catch(() => {})
      await world.write(branch.session, key).catch(() => {})
      expect(await branch.prepare()).toMatchObject({ kind: 'abort' })
      expect(await world.count(key)).toBe(0)
    })

    test('a poisoned branch does not commit in one phase either', async () => {
      const { branch, key } = await beginWriting()
      await expect(world.fail(branch.session)).rejects.toThrow()
      await expect(branch.commitOnePhase()).rejects.toThrow(BranchAbortedError)
      expect(await world.count(key)).toBe(0)
    })

    test.each(['COMMIT', ' rollback', '/* x */ COMMIT WORK', 'BEGIN', 'START TRANSACTION', '-- x\nROLLBACK'])(
      'a hand-written %j is refused and poisons the branch',
      async (text) => {
        const { branch, key } = await beginWriting()
        await expect(world.send(branch.session, text)).rejects.toThrow(BranchStatementRefusedError)
        expect(await branch.prepare()).toMatchObject({ kind: 'abort' })
        expect(await world.count(key)).toBe(0)
      },
    )

    test('savepoints are the application’s own affair', async () => {
      const { branch, key } = await beginWriting()
      await world.send(branch.session, 'SAVEPOINT s')
      await world.write(branch.session, `${key}x`)
      await world.send(branch.session, 'ROLLBACK TO SAVEPOINT s')
      expect(await branch.prepare()).toMatchObject({ kind: 'commit' })
      await branch.commit()
      expect([await world.count(key), await world.count(`${key}x`)]).toEqual([1, 0])
    })

    test('the session is of no use after prepare, nor after the end', async () => {
      const { branch, key } = await beginWriting()
      await branch.prepare()
      await expect(world.write(branch.session, `${key}x`)).rejects.toThrow(BranchEndedError)
      await branch.commit()
      await expect(world.write(branch.session, `${key}x`)).rejects.toThrow(BranchEndedError)
      expect(await world.count(`${key}x`)).toBe(0)
    })

    test('a branch that was handed over is settled by the resolver', async () => {
      const { identity, branch, key } = await beginWriting()
      const vote = await branch.prepare()
      await branch.handOver()
      await expect.poll(() => world.resolver.commit(identity)).toEqual({ kind: 'done' })
      expect(await world.count(key)).toBe(1)
      expect(await world.resolver.commit(identity)).toEqual({ kind: 'unknownGid' })
      const token = vote.kind === 'commit' ? vote.evidence : undefined
      expect(await world.resolver.evidence(identity, token)).toBe(world.hasEvidence ? 'committed' : 'none')
    })

    test('the resolver aborts a branch, and the evidence says so', async () => {
      const { identity, branch, key } = await beginWriting()
      const vote = await branch.prepare()
      const token = vote.kind === 'commit' ? vote.evidence : undefined
      expect(await world.resolver.evidence(identity, token)).toBe('none')
      await branch.handOver()
      await expect.poll(() => world.resolver.abort(identity)).toEqual({ kind: 'done' })
      expect(await world.count(key)).toBe(0)
      expect(await world.resolver.evidence(identity, token)).toBe(world.hasEvidence ? 'aborted' : 'none')
    })

    test('a prepared branch whose session lives is settled or busy, never unknown', async () => {
      const { identity, branch, key } = await beginWriting()
      await branch.prepare()
      expect(await world.resolver.commit(identity)).toEqual({ kind: world.detaches ? 'done' : 'busy' })
      expect(await branch.commit()).toEqual({ kind: world.detaches ? 'unknownGid' : 'done' })
      expect(await world.count(key)).toBe(1)
    })

    test('a gid that never was is unknown, and there is no evidence of it', async () => {
      const identity = newIdentity()
      expect(await world.resolver.commit(identity)).toEqual({ kind: 'unknownGid' })
      expect(await world.resolver.abort(identity)).toEqual({ kind: 'unknownGid' })
      expect(await world.resolver.evidence(identity, undefined)).toBe('none')
    })

    test('list shows only the asked cluster, with parts that make the gid again', async () => {
      const { identity, branch } = await beginWriting()
      await branch.prepare()
      const all = await world.resolver.list(CONTRACT_CLUSTER)
      const ours = all.find(({ txid }) => txid === identity.txid)
      expect(ours).toMatchObject(identity)
      expect(await world.resolver.list(parseClusterId('other'))).toEqual([])
      await branch.abort()
    })

    test('two branches of one transaction in one database are apart', async () => {
      const first = newIdentity()
      const second = { ...first, branch: parseBranchId(1) }
      const branches = [await world.resource.begin(first), await world.resource.begin(second)]
      await Promise.all(branches.map((branch, n) => world.write(branch.session, `k${first.txid}-${n}`)))
      await Promise.all(branches.map((branch) => branch.prepare()))
      await Promise.all([branches[0]!.commit(), branches[1]!.abort()])
      expect([await world.count(`k${first.txid}-0`), await world.count(`k${first.txid}-1`)]).toEqual([1, 0])
    })

    test('begin honours an AbortSignal that has fired already', async () => {
      const signal = AbortSignal.abort()
      await expect(world.resource.begin(newIdentity(), { signal })).rejects.toThrow(ResourceUnavailableError)
    })

    test('begin gives up when the pool has no session before the signal fires, and leaks none', async () => {
      const begun: Branch<Session>[] = []
      const full = async (): Promise<void> => {
        for (;;) begun.push(await world.resource.begin(newIdentity(), { signal: AbortSignal.timeout(300) }))
      }
      await expect(full()).rejects.toThrow(ResourceUnavailableError)
      // The resolver has sessions of its own: a full application pool does not hold it up.
      expect(await world.resolver.list(parseClusterId('other'))).toEqual([])
      await Promise.all(begun.map((branch) => branch.abort()))
      const again: Branch<Session>[] = []
      for (const _ of begun) again.push(await world.resource.begin(newIdentity()))
      await Promise.all(again.map((branch) => branch.abort()))
    })

    test('a server crash before prepare aborts; after prepare the branch is still there and commits', async () => {
      const unprepared = await beginWriting()
      const prepared = await beginWriting()
      expect(await prepared.branch.prepare()).toMatchObject({ kind: 'commit' })
      await world.crash()
      expect(await unprepared.branch.prepare()).toMatchObject({ kind: 'abort' })
      expect(await listed(prepared.identity)).toBe(true)
      await expect.poll(() => prepared.branch.commit().catch((error) => error.code)).toEqual({ kind: 'done' })
      expect([await world.count(unprepared.key), await world.count(prepared.key)]).toEqual([0, 1])
    })

    test('evidence survives a crash and can be forgotten', async () => {
      const { identity, branch } = await beginWriting()
      const vote = await branch.prepare()
      const token = vote.kind === 'commit' ? vote.evidence : undefined
      await branch.commit()
      await world.crash()
      expect(await world.resolver.evidence(identity, token)).toBe(world.hasEvidence ? 'committed' : 'none')
      await world.resolver.forgetEvidence(CONTRACT_CLUSTER, Date.now() - 60_000)
      expect(await world.resolver.evidence(identity, token)).toBe(world.hasEvidence ? 'committed' : 'none')
    })
  })
}
