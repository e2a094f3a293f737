import { expect, test } from 'vitest'
import type { NodeStatus } from '../../src/server/index.ts'
import { newTxid } from '../support/decisions.support.ts'
import { Fleet } from '../support/fleet.support.ts'
import { Namespaces, whyNoNamespaces } from '../support/namespaces.support.ts'
import { concordat } from '../support/program.support.ts'
import { pause, until } from '../support/waiting.support.ts'

const obstacle = whyNoNamespaces()
if (obstacle !== undefined) console.warn(`the stories of one-way partitions are skipped: ${obstacle}`)

/** Longer than every timeout that could end a leadership: elections take 300 to 600 ms, silent connections 3 s. */
const LONG_MS = 4_000

/** A fleet whose coordinators live in namespaces, seen through the command line in a namespace of its own. */
class CutFleet {
  readonly net: Namespaces
  readonly fleet: Fleet

  private constructor(net: Namespaces, fleet: Fleet) {
    this.net = net
    this.fleet = fleet
  }

  static async start(): Promise<CutFleet> {
    const net = Namespaces.make(3)
    const fleet = await Fleet.prepare({ hosts: net.hosts, through: (id) => net.through(id) })
    fleet.startAll()
    const cut = new CutFleet(net, fleet)
    await cut.leader()
    return cut
  }

  async status(id: number): Promise<NodeStatus | undefined> {
    const { code, stdout } = await this.#run('status', '--coordinators', this.fleet.addressOf(id), '--json')
    return code === 0 ? (JSON.parse(stdout) as { status?: NodeStatus }[])[0]?.status : undefined
  }

  /** Waits for a leader that serves; `not`: one that must have lost its place. */
  leader(not?: number): Promise<NodeStatus> {
    return until('a leader serves', async () => {
      const statuses = await Promise.all(this.fleet.ids.map((id) => this.status(id)))
      return statuses.find((status) => status?.serving === true && status.node !== not)
    })
  }

  /** Presumed abort is a decision like every other: it needs a majority. */
  async decides(through: readonly number[]): Promise<boolean> {
    const addresses = through.map((id) => this.fleet.addressOf(id)).join(',')
    const { code } = await this.#run('outcome', newTxid(), '--settle', '--coordinators', addresses, '--json')
    return code === 0
  }

  #run(...args: readonly string[]) {
    return concordat(args, { through: this.net.through() })
  }
}

test.skipIf(obstacle !== undefined)(
  'a follower that no longer hears its leader, but is heard by all, disturbs nobody: the term stays',
  async () => {
    const { net, fleet, ...rest } = await withLeader()
    const deaf = fleet.ids.find((id) => id !== rest.leader)!
    net.cut(rest.leader, deaf)
    await pause(LONG_MS)
    const after = await rest.world.leader()
    expect({ node: after.node, term: after.term }).toEqual({ node: rest.leader, term: rest.term })
    expect(await rest.world.decides(fleet.ids.filter((id) => id !== deaf))).toBe(true)
    net.mend(rest.leader, deaf)
    await until('the deaf follower has caught up', async () => {
      const { members } = await rest.world.leader()
      return members.every(({ connected, lag }) => connected && lag === 0)
    })
    expect((await rest.world.leader()).term).toBe(rest.term)
  },
)

test.skipIf(obstacle !== undefined)(
  'P6: a leader that hears everybody and is heard by nobody gives up, and the others go on',
  async () => {
    const { net, fleet, world, leader, term } = await withLeader()
    const others = fleet.ids.filter((id) => id !== leader)
    for (const id of others) net.cut(leader, id)
    const next = await world.leader(leader)
    expect(next.term).toBeGreaterThan(term)
    expect(await world.decides(others)).toBe(true)
    await until('the old leader knows that it leads no more', async () => {
      const status = await world.status(leader)
      return status?.serving === false
    })
    for (const id of others) net.mend(leader, id)
    await until('the old leader follows the new one', async () => {
      const [old, now] = [await world.status(leader), await world.leader()]
      return old?.leader === now.node && old.commitIndex === now.commitIndex
    })
  },
)

async function withLeader() {
  const world = await CutFleet.start()
  const { node: leader, term } = await world.leader()
  await until('everybody is connected', async () => {
    const { members } = await world.leader()
    return members.every(({ connected, lag }) => connected && lag === 0)
  })
  return { world, net: world.net, fleet: world.fleet, leader, term }
}
