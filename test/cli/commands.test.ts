import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { parseTxid } from '../../src/base/index.ts'
import type { NodeStatus } from '../../src/server/index.ts'
import { asCluster, BOTH, newTxid, votedBranch } from '../support/decisions.support.ts'
import { Fleet, freePorts } from '../support/fleet.support.ts'
import { type CommandEnd, concordat } from '../support/program.support.ts'
import { until } from '../support/waiting.support.ts'

const clusterId = asCluster('test')
/** What a terminal takes for colours and the like. */
const ESCAPE = String.fromCharCode(27)

async function ask(fleet: Fleet, ...args: readonly string[]): Promise<CommandEnd> {
  const end = await concordat([...args, '--coordinators', fleet.addresses.join(',')])
  expect(end.stdout + end.stderr, 'no colours where nobody looks at a terminal').not.toContain(ESCAPE)
  return end
}

/** The one line of JSON that machines read, and nothing else. */
function json(end: CommandEnd): unknown {
  expect(end.stdout.trimEnd().split('\n')).toHaveLength(1)
  return JSON.parse(end.stdout)
}

/** What went wrong, from the last line. */
function jsonError(stdout: string): unknown {
  return JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '').error
}

test('status shows every coordinator side by side, those that do not answer too', async () => {
  const fleet = await Fleet.start()
  const { node: leader } = await fleet.leader()
  await fleet.whole()
  const port = fleet.port()
  expect(await port.commit({ clusterId, txid: newTxid(), timeoutMs: 5_000, branches: BOTH })).toMatchObject({
    outcome: { kind: 'committed' },
  })
  const human = await ask(fleet, 'status')
  expect(human).toMatchObject({ code: 0, stderr: '' })
  const lines = human.stdout.split('\n')
  expect(lines[0]).toMatch(/^NODE +ADDRESS +ROLE +TERM +COMMIT +APPLIED +LAG +LOG +MEMORY +UP$/)
  for (const id of fleet.ids) {
    const role = id === leader ? 'leader' : 'follower'
    expect(lines[id]).toMatch(
      new RegExp(`^${id} +${fleet.addressOf(id)} +${role} +\\d+ +\\d+ +\\d+ +\\d+ +\\d+.* [kM]B`),
    )
  }
  expect(human.stdout).toMatch(/open: 0 gathering votes, 1 decided and not acknowledged by all/)
  expect(human.stdout).toMatch(/1 committed, 0 aborted/)
  expect(human.stdout, 'nobody settles what is open').toMatch(/The leader knows no databases/)

  const victim = fleet.ids.find((id) => id !== leader)!
  await fleet.kill(victim)
  const partly = await ask(fleet, 'status', '--json')
  expect(partly.code).toBe(0)
  const answers = json(partly) as { address: string; status?: NodeStatus; error?: string }[]
  expect(answers.map(({ address }) => address)).toEqual(fleet.addresses)
  expect(answers[victim - 1]?.error).toMatch(/does not answer .*ECONNREFUSED/)
  expect(answers[leader - 1]?.status).toMatchObject({
    cluster: 'test',
    node: leader,
    role: 'leader',
    serving: true,
    transactions: { preparing: 0, decided: 1, committed: 1, aborted: 0, heuristics: 0 },
    resources: [],
  })
  await until('the leader has noticed', async () => {
    const members = (await fleet.status(leader))?.members ?? []
    return members.find(({ node }) => node === victim)?.connected === false
  })
})

test('status of followers alone names the leader, and does not say that there is none', async () => {
  const fleet = await Fleet.start()
  const { node: leader } = await fleet.leader()
  await fleet.whole()
  const followers = fleet.ids.filter((id) => id !== leader).map((id) => fleet.addressOf(id))
  for (const asked of [followers.slice(0, 1), followers]) {
    const { code, stdout } = await concordat(['status', '--coordinators', asked.join(',')])
    expect(code).toBe(0)
    expect(stdout).toContain(`Node ${leader} (${fleet.addressOf(leader)}) leads, but was not asked`)
    expect(stdout).not.toMatch(/nothing can be decided/)
  }
})

test('a coordinator without databases says once at its start that nobody settles what is in doubt', async () => {
  const fleet = await Fleet.start({ size: 1 })
  const lines = fleet.logOf(1).split('\n')
  expect(lines.filter((line) => line.includes('no databases are configured (resources)'))).toHaveLength(1)
})

test('outcome tells what became of a transaction; --settle decides what nobody knows', async () => {
  const fleet = await Fleet.start()
  const port = fleet.port()
  const [committed, aborted, unknown] = [newTxid(), newTxid(), newTxid()]
  await port.commit({ clusterId, txid: committed, timeoutMs: 5_000, branches: BOTH })
  await port.abort({ clusterId, txid: aborted, participant: 'flights', branches: BOTH }, 5_000)

  expect(await ask(fleet, 'outcome', committed)).toEqual({ code: 0, stdout: `${committed}: committed\n`, stderr: '' })
  expect(json(await ask(fleet, 'outcome', committed, '--json'))).toEqual({ txid: committed, kind: 'committed' })
  const gid = `cdt_test_${committed}_1`
  expect((await ask(fleet, 'outcome', gid)).stdout).toBe(`${committed}: committed\n`)

  expect((await ask(fleet, 'outcome', aborted)).stdout).toBe(`${aborted}: aborted (requested by flights)\n`)
  const asJson = json(await ask(fleet, 'outcome', aborted, '--json'))
  expect(asJson).toEqual({ txid: aborted, kind: 'aborted', reason: 'requested', participant: 'flights' })

  const nobody = await ask(fleet, 'outcome', unknown)
  expect(nobody.code).toBe(1)
  expect(nobody.stdout).toMatch(/no coordinator has heard of it.*--settle makes it aborted, for good/)
  expect(await fleet.outcome(unknown), 'asking changes nothing').toEqual({ kind: 'unknown' })
  const settled = await ask(fleet, 'outcome', unknown, '--settle')
  expect(settled).toEqual({ code: 0, stdout: `${unknown}: aborted (presumed)\n`, stderr: '' })
  expect(await port.commit({ clusterId, txid: unknown, timeoutMs: 5_000, branches: BOTH })).toMatchObject({
    outcome: { kind: 'aborted', reason: 'presumed' },
  })
})

test('list shows what is open and hides what is done; --state and --limit choose', async () => {
  const fleet = await Fleet.start()
  const port = fleet.port()
  expect(await ask(fleet, 'list')).toEqual({ code: 0, stdout: 'none\n', stderr: '' })
  const [first, second, done] = [newTxid(), newTxid(), newTxid()]
  const branches = [votedBranch(0, 'flights'), votedBranch(1, 'hotels')]
  for (const txid of [first, second, done]) await port.commit({ clusterId, txid, timeoutMs: 5_000, branches })
  port.ack(
    done,
    branches.map(({ branch }) => branch),
  )
  await until('the third is done', async () => (await fleet.leader()).transactions.finished === 1)

  const human = await ask(fleet, 'list')
  expect(human.code).toBe(0)
  const [head, ...rows] = human.stdout.trimEnd().split('\n')
  expect(head).toMatch(/^TXID +STATE +BRANCHES +NOTE$/)
  expect(rows).toEqual([first, second].map((txid) => `${txid}  committed  0:flights 1:hotels`))

  const machine = json(await ask(fleet, 'list', '--json')) as { txid: string; state: string }[]
  expect(machine.map(({ txid, state }) => [parseTxid(txid), state])).toEqual([
    [first, 'committed'],
    [second, 'committed'],
  ])
  expect(json(await ask(fleet, 'list', '--json', '--limit', '1'))).toHaveLength(1)
  expect((await ask(fleet, 'list', '--state', 'aborted')).stdout).toBe('none\n')
  expect((await ask(fleet, 'list', '--state', 'heuristic')).stdout).toBe('none\n')
})

test('the coordinators may come from the environment, and any one of them leads to the leader', async () => {
  const fleet = await Fleet.start()
  const txid = newTxid()
  await fleet.port().commit({ clusterId, txid, timeoutMs: 5_000, branches: BOTH })
  const env = { CONCORDAT_COORDINATORS: fleet.addresses.toReversed().join(' , ') }
  expect((await concordat(['outcome', txid], { env })).stdout).toBe(`${txid}: committed\n`)
})

test('without any coordinator every command ends with 3, and says whom it asked', async () => {
  const [port] = await freePorts(1)
  const nobody = ['--coordinators', `127.0.0.1:${port}`]
  const status = await concordat(['status', ...nobody])
  expect(status.code).toBe(3)
  expect(status.stdout).toMatch(/No leader answered: nothing can be decided now/)
  const statusJson = await concordat(['status', '--json', ...nobody])
  expect(statusJson.code).toBe(3)
  expect(json(statusJson)).toMatchObject([
    { address: `127.0.0.1:${port}`, error: expect.stringMatching(/ECONNREFUSED/) },
  ])
  for (const args of [['list'], ['list', '--json'], ['outcome', newTxid()], ['outcome', newTxid(), '--json']]) {
    const { code, stdout, stderr } = await concordat([...args, ...nobody])
    expect(code, args.join(' ')).toBe(3)
    if (args.includes('--json')) expect(jsonError(stdout)).toMatchObject({ code: 'COORDINATOR_UNREACHABLE' })
    else expect(stdout).toBe('')
    expect(stderr).toMatch(/no coordinator could answer; is a majority up.*\[COORDINATOR_UNREACHABLE\]/s)
    expect(stderr).toContain(`127.0.0.1:${port}`)
  }
})

test('a minority tells what was decided, which is final, and never that something is unknown, which may be stale', async () => {
  const fleet = await Fleet.start()
  const decided = newTxid()
  await fleet.port().commit({ clusterId, txid: decided, timeoutMs: 5_000, branches: BOTH })
  const { node } = await fleet.leader()
  await fleet.kill(...fleet.ids.filter((id) => id !== node))
  const patience = ['--timeout', '1500']
  // It may not know yet that it is alone.
  for (const args of [['outcome', newTxid()], ['outcome', newTxid(), '--settle'], ['list']]) {
    const { code, stdout } = await ask(fleet, ...args, ...patience)
    expect(code, args.join(' ')).toBe(3)
    expect(stdout).toBe('')
  }
  await until('it has noticed', async () => (await fleet.status(node))?.serving === false)
  expect((await ask(fleet, 'outcome', decided, ...patience)).code).toBe(3)
  const status = await ask(fleet, 'status', ...patience)
  expect(status.code, 'one coordinator did answer').toBe(0)
  expect(status.stdout).toMatch(/nothing can be decided now. In doubt stays in doubt until a majority is up/)
})

test('a wrong call ends with 2 and a hint', async () => {
  const [port] = await freePorts(1)
  const calls: readonly (readonly [readonly string[], RegExp])[] = [
    [['frobnicate'], /unknown command 'frobnicate'/],
    [['list', '--state', 'lost'], /Allowed choices are open, preparing, committed, aborted, heuristic/],
    [['outcome'], /missing required argument 'txid'/],
    [['status', '--coordinators', 'nowhere'], /"nowhere" is not an address; write host:port/],
    [['list', '--limit', 'many', '--coordinators', `127.0.0.1:${port}`], /limit.*(number|many)/],
    [['list', '--timeout', 'soon', '--coordinators', `127.0.0.1:${port}`], /timeout.*(number|soon)/],
  ]
  for (const [args, words] of calls) {
    const { code, stderr } = await concordat(args)
    expect(stderr, args.join(' ')).toMatch(words)
    expect(code, args.join(' ')).toBe(2)
  }
})

test('a path that leads nowhere has a code, an advice and no stack', async () => {
  const fleet = await Fleet.start({ size: 1 })
  const nowhere = join(fleet.directory, 'nowhere')
  const file = join(fleet.directory, 'file')
  writeFileSync(file, 'a text')
  const restore = ['--node', '9', '--address', '127.0.0.1:1']
  for (const [path, ...args] of [
    [nowhere, 'recover', '--data', nowhere],
    [file, 'recover', '--data', file],
    [nowhere, 'backup', 'verify', nowhere],
    [fleet.directory, 'backup', 'verify', fleet.directory],
    [nowhere, 'restore', '--from', nowhere, '--data', join(nowhere, '9'), ...restore],
    [join(nowhere, 'x'), 'backup', join(nowhere, 'x'), '--coordinators', fleet.addressOf(1)],
  ] as const) {
    const { code, stdout, stderr } = await concordat([...args, ...(args.includes('--coordinators') ? [] : ['--json'])])
    expect(code, args.join(' ')).toBe(2)
    expect(stderr).toContain(`${path} can't be `)
    expect(stderr).toMatch(/check the path and its rights\. What was there was not changed\. \[PATH_UNUSABLE\]\n$/)
    expect(stderr).not.toMatch(/^ +at /m)
    if (stdout !== '') expect(jsonError(stdout)).toMatchObject({ code: 'PATH_UNUSABLE', retryable: false })
  }
  const backup = join(fleet.directory, 'a.backup')
  expect(await concordat(['backup', backup, '--coordinators', fleet.addressOf(1)])).toMatchObject({ code: 0 })
  const intoFile = await concordat(['restore', '--from', backup, '--data', file, ...restore])
  expect(intoFile).toMatchObject({ code: 2, stderr: expect.stringContaining('[PATH_UNUSABLE]') })
})

test('with --json an error is the last line of stdout as well', async () => {
  const fleet = await Fleet.start({ size: 1 })
  await fleet.leader()
  const refused = await ask(fleet, 'members', 'remove', '7', '--json')
  expect(refused.code).toBe(1)
  expect(jsonError(refused.stdout)).toEqual({
    code: 'ADMIN_REFUSED',
    refusal: 'MEMBERS_UNKNOWN_MEMBER',
    message: expect.stringContaining('it is no member'),
    retryable: false,
  })
  const wrong = await ask(fleet, 'list', '--state', 'lost', '--json')
  expect(wrong.code).toBe(2)
  expect(jsonError(wrong.stdout)).toMatchObject({ code: 'CALL_INVALID', message: expect.stringContaining('lost') })
  const help = await concordat(['list', '--help', '--json'])
  expect(help.stdout).not.toContain('"error"')
})

test('guard lift without a reason is refused in words', async () => {
  const { code, stderr } = await concordat(['guard', 'lift', '--reason', ' '])
  expect(code).toBe(2)
  expect(stderr).toMatch(/say what was settled.*\[REASON_MISSING\]/)
})

test('help and version go to stdout and end with 0', async () => {
  const help = await concordat(['--help'])
  expect(help).toMatchObject({ code: 0, stderr: '' })
  for (const command of ['serve', 'status', 'outcome', 'list', 'in-doubt', 'doctor', 'demo'])
    expect(help.stdout).toContain(command)
  const version = await concordat(['--version'])
  expect(version).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) })
})
