// A rolling upgrade with the real code of an earlier release: three nodes in one process, each with its own code. See README.md beside this file.
//
//   npx tsx test/compat/mixed-fleet.mjs <checkout of the release>

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const [release] = process.argv.slice(2)
if (release === undefined) {
  console.error('usage: npx tsx test/compat/mixed-fleet.mjs <checkout of the release>')
  process.exit(2)
}

const DECISIONS = 50
const CLUSTER = 'mixed'
const work = mkdtempSync(join(tmpdir(), 'concordat-mixed-'))
const silent = { debug() {}, info() {}, warn() {}, error() {} }
const old = await codeOf('old', resolve(release))
const now = await codeOf('new', fileURLToPath(new URL('../..', import.meta.url)))
const network = now.transport.memoryNetwork()
const members = [1, 2, 3].map((nodeId) => ({ nodeId, host: 'node', port: 7000 + nodeId }))
let decided = 0

async function codeOf(name, root) {
  const load = (folder) => import(pathToFileURL(join(root, 'src', folder, 'index.ts')).href)
  const [base, txn, transport, replica, wal] = await Promise.all(
    ['base', 'txn', 'transport', 'replica', 'wal'].map(load),
  )
  return { name, base, txn, transport, replica, wal }
}

async function start(code, nodeId) {
  const { base, txn, transport, wal } = code
  const node = { code, ledger: new txn.Ledger(), leads: false, applied: 0 }
  const replica = await code.replica.Replica.open({
    nodeId,
    clusterId: CLUSTER,
    members,
    directory: join(work, `node${nodeId}`),
    disk: wal.nodeDisk,
    network,
    clock: base.systemClock,
    seed: nodeId,
    options: { electionTimeoutMs: 100 },
    logger: silent,
    onFatal: (error) => {
      throw error
    },
  })
  const version = { protocolMajor: transport.PROTOCOL_MAJOR, protocolMinor: transport.PROTOCOL_MINOR }
  const welcome = () => ({
    kind: 'welcome',
    ...version,
    clusterId: CLUSTER,
    node: replica.identity(),
    leader: undefined,
  })
  const listener = await transport.listen({
    network,
    host: 'node',
    port: 7000 + nodeId,
    clusterId: CLUSTER,
    clock: base.systemClock,
    accept: (hello) => replica.acceptPeer(hello) ?? welcome(),
    onConnection: (connection) => replica.addPeerConnection(connection),
  })
  await replica.start({
    apply: (payload) => {
      for (const command of txn.decodeCommands(payload)) node.ledger.apply(command, [])
      node.applied++
    },
    leading: () => {
      node.leads = true
    },
    following: () => {
      node.leads = false
    },
    freeze: () => node.ledger.freeze(),
    restore: () => node.ledger.restore(),
  })
  node.propose = (payload) => replica.propose(payload).kind === 'accepted'
  node.stop = async () => {
    await listener.close()
    await replica.close()
  }
  return node
}

async function until(what, check) {
  const deadline = Date.now() + 10_000
  for (;;) {
    const found = check()
    if (found) return found
    if (Date.now() > deadline) throw new Error(`it did not happen: ${what}`)
    await new Promise((done) => setTimeout(done, 5))
  }
}

/** Has the leader decide some transactions, and waits until all nodes are equal. */
async function decide(nodes) {
  for (let left = DECISIONS; left > 0; ) {
    const { code, propose } = await until('somebody leads', () => nodes.find((node) => node.leads))
    const random = Buffer.alloc(10)
    random.writeUInt32BE(decided, 6)
    const txid = code.base.makeTxid(Date.UTC(2024, 0, 1) + decided, random)
    const writer = new code.base.ByteWriter()
    const command = { kind: 'aborted', txid, reason: 'votedAbort', participant: `p${decided}`, branches: [] }
    code.txn.encodeCommands([command], writer)
    if (!propose(Buffer.from(writer.finish()))) continue
    decided++
    left--
  }
  await until('all applied everything', () => nodes.every((node) => node.applied === decided))
  const digests = nodes.map((node) => node.ledger.digest())
  console.log(nodes.map((node) => `${node.code.name}${node.leads ? '*' : ''}`).join(' '), digests[0])
  if (new Set(digests).size > 1) throw new Error(`the nodes differ: ${digests.join(' ')}`)
}

const nodes = await Promise.all([start(old, 1), start(old, 2), start(old, 3)])
await decide(nodes)
// Each in turn; then each once more, on what the new code wrote.
for (const at of [0, 1, 2, 0, 1, 2]) {
  await nodes[at].stop()
  nodes[at] = await start(now, at + 1)
  await decide(nodes)
}
await Promise.all(nodes.map((node) => node.stop()))
rmSync(work, { recursive: true, force: true })
process.exit(0)
