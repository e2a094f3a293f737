import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Concordat, type Transaction } from './index.ts'
import type { Logger } from './logger.ts'
import { type MemoryBranch, MemoryResource } from './memory-resource.support.ts'
import { refuse, ScriptedPort } from './scripted-port.support.ts'

// Stories in which a database must misbehave at one exact moment. What a real one can be made to do is in concordat.test.ts.

let port: ScriptedPort
let concordat: Concordat
let first: MemoryResource
let second: MemoryResource
let warnings: string[]

beforeEach(() => {
  port = new ScriptedPort()
  warnings = []
  const logger: Logger = { debug() {}, info() {}, warn: (_fields, message) => warnings.push(message), error() {} }
  concordat = Concordat.over(port, { closeTimeoutMs: 100, logger })
  first = new MemoryResource('first')
  second = new MemoryResource('second')
})
afterEach(() => concordat.close())

async function both(tx: Transaction): Promise<void> {
  await Promise.all([tx.enlist(first), tx.enlist(second)])
}

function failure(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => expect.unreachable('it should have failed'),
    (error: unknown) => error,
  )
}

const logs = (): string[][] => [...first.branches, ...second.branches].map((branch) => branch.log)

describe('votes', () => {
  test('one abort vote rolls the others back without a word to the coordinators', async () => {
    const cause = Object.assign(new Error('deadlock'), { code: '40P01' })
    second.prepareBranch = (branch) => {
      branch.onPrepare = () => ({ kind: 'abort', cause })
    }
    const error = await failure(concordat.transaction(both))
    expect(error).toMatchObject({ reason: 'votedAbort', participant: 'second', retryable: true, cause })
    expect(logs()).toEqual([['prepare', 'abort'], ['prepare']])
    expect([port.commits, port.aborts]).toEqual([[], []])
  })

  test('an unknown vote aborts, and the coordinators note it so that the resolver settles the branch', async () => {
    second.prepareBranch = (branch) => {
      branch.onPrepare = () => ({ kind: 'unknown', cause: new Error('connection lost') })
      branch.settles = [{ kind: 'unknownGid' }]
    }
    const error = await failure(concordat.transaction(both))
    expect(error).toMatchObject({ reason: 'votedAbort', participant: 'second' })
    await expect
      .poll(() => port.aborts)
      .toMatchObject([{ participant: 'second', branches: [{ branch: 1, participant: 'second', vote: undefined }] }])
    expect(port.commits).toEqual([])
  })

  test('a prepared branch that can not be rolled back now is noted, retried and acknowledged', async () => {
    first.prepareBranch = (branch) => {
      branch.settles = [new Error('database gone'), { kind: 'busy' }]
    }
    second.prepareBranch = (branch) => {
      branch.onPrepare = () => ({ kind: 'abort', cause: new Error('no') })
    }
    await failure(concordat.transaction(both))
    await port.acknowledged(1)
    expect(port.aborts).toMatchObject([{ branches: [{ branch: 0, participant: 'first', vote: 'commit' }] }])
    expect(first.branches[0]!.log).toEqual(['prepare', 'abort', 'abort', 'abort'])
  })

  test('time that ends amid PREPARE aborts, and counts the branch as one that may be prepared', async () => {
    let answer: () => void = () => {}
    second.prepareBranch = (branch) => {
      branch.onPrepare = () =>
        new Promise((resolve) => {
          answer = () => resolve({ kind: 'commit', evidence: undefined })
        })
    }
    const error = await failure(concordat.transaction({ timeoutMs: 60 }, both))
    answer()
    expect(error).toMatchObject({ reason: 'deadline' })
    expect(port.commits).toEqual([])
    await expect.poll(() => port.aborts).toMatchObject([{ branches: [{ participant: 'second' }] }])
    expect(first.branches[0]!.log).toEqual(['prepare', 'abort'])
  })
})

describe('the end of the callback', () => {
  test('a statement that still runs aborts the transaction: more may follow it', async () => {
    second.prepareBranch = (branch) => {
      Object.defineProperty(branch, 'isBusy', { value: true })
    }
    const error = await failure(concordat.transaction(both))
    expect(error).toMatchObject({ reason: 'notAwaited', participant: 'second' })
    expect(logs()).toEqual([['abort'], ['abort']])
  })

  test('a rollback that fails does not hide the error of the callback', async () => {
    const mine = new Error('mine')
    first.prepareBranch = (branch) => {
      branch.settles = [new Error('not you')]
    }
    const work = concordat.transaction(async (tx) => {
      await both(tx)
      throw mine
    })
    expect(await failure(work)).toBe(mine)
  })

  test('the callback that answers a failed enlistment with an error of its own has the last word', async () => {
    const mine = new Error('sold out')
    second.begin = () => Promise.reject(new Error('too many connections'))
    const work = concordat.transaction(async (tx) => {
      await both(tx).catch(() => {
        throw mine
      })
    })
    expect(await failure(work)).toBe(mine)
    expect(first.branches[0]!.log).toEqual(['abort'])
  })

  test('a failed enlistment that nobody awaits aborts the transaction and leaves no unhandled rejection', async () => {
    second.begin = () => Promise.reject(new Error('too many connections'))
    const error = await failure(
      concordat.transaction(async (tx) => {
        void tx.enlist(second)
        await tx.enlist(first)
      }),
    )
    expect(error).toMatchObject({ reason: 'unreachable', participant: 'second', retryable: true })
  })

  test('the 65th branch is one too many', async () => {
    const error = await failure(
      concordat.transaction(async (tx) => {
        for (let number = 0; number < 65; number++) await tx.enlist(new MemoryResource(`r${number}`))
      }),
    )
    expect(error).toMatchObject({ code: 'TXN_TOO_MANY_BRANCHES' })
  })
})

describe('phase two', () => {
  test('a branch that is busy is tried again after the call has returned', async () => {
    first.prepareBranch = (branch) => {
      branch.settles = [{ kind: 'busy' }, new Error('lost'), { kind: 'done' }]
    }
    await concordat.transaction(both)
    await port.acknowledged(2)
    expect(port.acks.map(({ branches }) => branches)).toEqual([[1], [0]])
    expect(first.branches[0]!.log).toEqual(['prepare', 'commit', 'commit', 'commit'])
  })

  test.each([['committed', 1] as const, ['none', 0] as const])(
    'an unknown gid counts as finished only with proof: evidence "%s"',
    async (found, acks) => {
      first.found = found
      first.prepareBranch = (branch) => {
        branch.settles = [{ kind: 'unknownGid' }]
      }
      second.prepareBranch = (branch) => {
        branch.onPrepare = () => ({ kind: 'readOnly' })
      }
      await concordat.transaction(both)
      expect(port.acks).toHaveLength(acks)
      expect(warnings).toHaveLength(1 - acks)
    },
  )

  test('close() hands over what it could not finish', async () => {
    first.prepareBranch = (branch) => {
      branch.settles = Array.from({ length: 99 }, () => ({ kind: 'busy' }))
    }
    await concordat.transaction(both)
    await concordat.close()
    expect(first.branches[0]!.log.at(-1)).toBe('handOver')
    expect(port.isClosed).toBe(true)
  })
})

describe('one phase', () => {
  const lone = (tx: Transaction): Promise<MemoryBranch> => tx.enlist(first)

  test('a refused COMMIT is an abort', async () => {
    const cause = new Error('deferred constraint')
    first.prepareBranch = (branch) => {
      branch.onCommitOnePhase = () => {
        throw Object.assign(new Error('rolled back', { cause }), { code: 'BRANCH_ABORTED' })
      }
    }
    const error = await failure(concordat.transaction(lone))
    expect(error).toMatchObject({ code: 'TXN_ABORTED', participant: 'first', cause })
  })

  test.each([['committed', 'committed'] as const, ['none', 'unknown'] as const])(
    'P8: a lost COMMIT is unknown, and outcome() asks the database, never the coordinators: evidence "%s"',
    async (found, outcome) => {
      first.prepareBranch = (branch) => {
        branch.onCommitOnePhase = () => {
          throw Object.assign(new Error('lost'), { code: 'BRANCH_OUTCOME_UNKNOWN' })
        }
      }
      const error = (await failure(concordat.transaction(lone))) as { txid: string }
      expect(error).toMatchObject({ code: 'TXN_OUTCOME_UNKNOWN', participant: 'first' })
      first.found = found
      expect(await concordat.outcome(error.txid)).toBe(outcome)
      expect(port.ledger.size).toBe(0)
    },
  )
})

describe('outcome()', () => {
  const TXID = '01890a5d-ac96-774b-bcce-b302099a8057'

  test('P5: a transaction that nobody knows is aborted by the question', async () => {
    expect(await concordat.outcome(TXID)).toBe('aborted')
    expect([...port.ledger.values()]).toMatchObject([{ kind: 'aborted', reason: 'presumed' }])
  })

  test('does not abort a transaction that runs in this process', async () => {
    await concordat.transaction(async (tx) => {
      await both(tx)
      expect(await concordat.outcome(tx.txid)).toBe('unknown')
    })
    expect(port.commits).toHaveLength(1)
  })

  test('says what is wrong with a txid, a silent fleet and another cluster', async () => {
    expect(await failure(concordat.outcome('7'))).toMatchObject({ code: 'MALFORMED_ID' })
    port.onInquire = () => refuse('NOT_LEADER', true)
    expect(await failure(concordat.outcome(TXID))).toMatchObject({ code: 'COORDINATOR_UNAVAILABLE', retryable: true })
    port.onInquire = () => refuse('WRONG_CLUSTER')
    expect(await failure(concordat.outcome(TXID))).toMatchObject({ code: 'REQUEST_REFUSED', refusal: 'WRONG_CLUSTER' })
  })
})

describe('close()', () => {
  test('waits for running transactions, then begins nothing more', async () => {
    let go: () => void = () => {}
    const gone = new Promise<void>((resolve) => {
      go = resolve
    })
    const running = concordat.transaction(async (tx) => {
      await both(tx)
      await gone
    })
    const closing = concordat.close()
    expect(await failure(concordat.transaction(() => {}))).toMatchObject({ code: 'CONCORDAT_CLOSED' })
    go()
    await running
    await closing
    expect(port.commits).toHaveLength(1)
  })

  test('aborts those that do not end in time', async () => {
    const running = failure(
      concordat.transaction(async (tx) => {
        await both(tx)
        await new Promise(() => {})
      }),
    )
    await concordat.close()
    expect(await running).toMatchObject({ code: 'TXN_ABORTED', reason: 'closed' })
    expect(logs()).toEqual([['abort'], ['abort']])
  })

  test('await using closes', async () => {
    {
      await using scoped = Concordat.over(port)
      await scoped.transaction(() => {})
    }
    expect(port.isClosed).toBe(true)
  })
})

test('enlisting after the time was over rejects, and does not end the process when nobody awaits it at that moment', async () => {
  let enlisted: Promise<unknown> | undefined
  let ended: () => void = () => {}
  const over = new Promise<void>((resolve) => {
    ended = resolve
  })
  const work = concordat.transaction({ timeoutMs: 30 }, async (tx) => {
    await new Promise((resolve) => tx.signal.addEventListener('abort', resolve))
    enlisted = tx.enlist(first)
    // An application that starts both and awaits them later.
    await new Promise((resolve) => setTimeout(resolve, 20))
    ended()
  })
  expect(await failure(work)).toMatchObject({ reason: 'deadline' })
  await over
  await expect(enlisted).rejects.toMatchObject({ code: 'TXN_ENDED' })
})
