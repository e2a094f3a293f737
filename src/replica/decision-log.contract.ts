import { afterEach, describe, expect, test } from 'vitest'
import type { DecisionLog } from './decision-log.ts'
import { eventually } from './fleet.support.ts'
import { Recorder } from './recorder.support.ts'

/** A group of logs under test: one for each node, not started yet. */
export interface LogGroup {
  readonly logs: readonly DecisionLog[]
  /** Closes all of them and opens them again on what they left. */
  reopen(): Promise<LogGroup>
  /** Closes everything that is still open. */
  close(): Promise<void>
}

interface Member {
  readonly log: DecisionLog
  readonly recorder: Recorder
}

/** What every implementation of the `DecisionLog` seam must do. */
export function decisionLogContract(name: string, open: () => Promise<LogGroup>): void {
  describe(`decision log: ${name}`, () => {
    let group: LogGroup | undefined

    afterEach(async () => {
      await group?.close()
      group = undefined
    })

    async function startAll(logs: readonly DecisionLog[]): Promise<Member[]> {
      const members = logs.map((log) => ({ log, recorder: new Recorder() }))
      for (const { log, recorder } of members) await log.start(recorder)
      return members
    }

    async function begin(): Promise<{ members: Member[]; leader: Member }> {
      group = await open()
      const members = await startAll(group.logs)
      return { members, leader: await leaderOf(members) }
    }

    test('what is proposed is applied by all, in one order, with ascending indexes', async () => {
      const { members, leader } = await begin()
      const texts = Array.from({ length: 300 }, (_, at) => `p${at}`)
      for (const text of texts) expect(propose(leader, text)).toBe('accepted')
      await allApplied(members, texts.length)
      for (const { recorder } of members) {
        expect(recorder.applied).toEqual(texts)
        expect(recorder.indexes).toEqual([...new Set(recorder.indexes)].sort((a, b) => a - b))
      }
    })

    test('a proposal from within apply is taken, and applied later, not inside the call', async () => {
      const { members, leader } = await begin()
      let inside = 0
      leader.recorder.onApply = (text) => {
        expect(++inside).toBe(1)
        if (text === 'first') expect(propose(leader, 'second')).toBe('accepted')
        inside--
      }
      propose(leader, 'first')
      await allApplied(members, 2)
      expect(leader.recorder.applied).toEqual(['first', 'second'])
    })

    test('only the leader takes proposals; the others name it', async () => {
      const { members, leader } = await begin()
      const leaderId = leader.log.status().raft.nodeId
      for (const other of members.filter((member) => member !== leader)) {
        await eventually('the leader is known', () => other.recorder.followed.includes(leaderId))
        expect(other.log.propose(Buffer.from('x'))).toEqual({ kind: 'refused', reason: 'notLeader', leader: leaderId })
      }
    })

    test('a read barrier waits until everything committed before it is applied', async () => {
      const { leader } = await begin()
      for (let i = 0; i < 50; i++) propose(leader, `p${i}`)
      await eventually('all committed', () => leader.log.status().raft.commitIndex >= 51)
      await Promise.all([leader.log.readBarrier(), leader.log.readBarrier()])
      expect(leader.recorder.applied.length).toBe(50)
    })

    test('every member answers reads: what was committed before one began, it has applied when it ends', async () => {
      const { members, leader } = await begin()
      for (const other of members) await eventually('the leader is known', () => other.log.status().raft.leader)
      for (let round = 1; round <= 5; round++) {
        propose(leader, `round ${round}`)
        await eventually('it is committed', () => leader.recorder.applied.length === round)
        await Promise.all(members.map(({ log }) => log.readBarrier()))
        for (const { recorder } of members) expect(recorder.applied.length).toBe(round)
      }
    })

    test('a restart applies everything again, in the same order, before anybody leads', async () => {
      const { members, leader } = await begin()
      const texts = Array.from({ length: 200 }, (_, at) => `p${at}`)
      for (const text of texts) propose(leader, text)
      await allApplied(members, texts.length)
      const storeIds = members.map(({ log }) => log.status().storeId)
      group = await group!.reopen()
      const again = await startAll(group.logs)
      const newLeader = await leaderOf(again)
      expect(newLeader.recorder.appliedAtLeading).toBe(texts.length)
      await allApplied(again, texts.length)
      for (const { recorder } of again) expect(recorder.applied).toEqual(texts)
      expect(again.map(({ log }) => log.status().storeId)).toEqual(storeIds)
    })

    test('a closed log takes nothing, and tells its leader that it leads no more', async () => {
      const { leader } = await begin()
      const pending = leader.log.readBarrier()
      pending.catch(() => undefined)
      await leader.log.close()
      expect(leader.recorder.leads).toBe(false)
      expect(leader.log.propose(Buffer.from('x')).kind).toBe('refused')
      await expect(pending).rejects.toMatchObject({ code: 'NOT_LEADER' })
      await expect(leader.log.readBarrier()).rejects.toMatchObject({ code: 'NOT_LEADER' })
    })
  })
}

function propose({ log }: Member, text: string): string {
  return log.propose(Buffer.from(text)).kind
}

function leaderOf(members: readonly Member[]): Promise<Member> {
  return eventually('a leader serves', () => members.find(({ recorder }) => recorder.leads))
}

async function allApplied(members: readonly Member[], count: number): Promise<void> {
  await eventually(`all applied ${count}`, () => members.every(({ recorder }) => recorder.applied.length >= count))
}
