// Writes the fixtures of one release, with the code of that release. See README.md beside this file.
//
//   npx tsx test/compat/make-fixtures.mjs <checkout of the release> <output directory>

import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { gzipSync } from 'node:zlib'

const [release, target] = process.argv.slice(2)
if (release === undefined || target === undefined) {
  console.error('usage: npx tsx test/compat/make-fixtures.mjs <checkout of the release> <output directory>')
  process.exit(2)
}

const load = (folder) => import(pathToFileURL(resolve(release, 'src', folder, 'index.ts')).href)
const base = await load('base')
const txn = await load('txn')
const transport = await load('transport')
const replica = await load('replica')
const wal = await load('wal')

/** Small, so that the log has several files, and the fixtures stay small. */
const SEGMENT_BYTES = 80 * 1024
const CLUSTER = base.parseClusterId('compat')
const START_MS = Date.UTC(2024, 0, 1)
const work = mkdtempSync(join(tmpdir(), 'concordat-fixtures-'))
const silent = { debug() {}, info() {}, warn() {}, error() {} }

// ------------------------------------------------------------------- commands

const txidOf = (n) => {
  const random = Buffer.alloc(10)
  random.writeUInt32BE(n, 6)
  return base.makeTxid(START_MS + n * 1000, random)
}
const branch = (n, kind, participant, vote, evidence) => ({ branch: n, kind, participant, vote, evidence })
const FLIGHTS = branch(0, 'local', 'flights', 'commit', '4711')
const HOTELS = branch(1, 'local', 'hotels', 'commit', undefined)
const CARS = branch(2, 'service', 'cars', undefined, undefined)
const MAPS = branch(3, 'kv', 'maps', 'readOnly', undefined)

/** So much evidence that the log needs several files; it compresses well. */
const bulky = (n) => Array.from({ length: 16 }, (_, at) => branch(at, 'kv', `p${at}`, 'readOnly', `${n} `.repeat(300)))

/** Transaction n's records, so that every kind and every end occurs. */
function commandsOf(n) {
  const txid = txidOf(n)
  const prepared = { kind: 'prepared', txid, timeoutMs: 30_000, branches: [FLIGHTS, CARS, MAPS] }
  const commit = { kind: 'commit', txid, branches: [FLIGHTS, HOTELS] }
  const completed = { kind: 'completed', txids: [txid] }
  const aborted = { kind: 'aborted', txid, reason: 'votedAbort', participant: 'cars', branches: [FLIGHTS] }
  switch (n % 8) {
    case 0:
      return [commit, completed]
    case 1:
      return [prepared, { kind: 'commit', txid, branches: undefined }, completed]
    case 2:
      return [prepared, aborted, completed]
    case 3:
      return [{ ...aborted, reason: 'presumed', participant: undefined, branches: [] }]
    case 4:
      return [commit]
    case 5:
      return [prepared]
    case 6:
      return [commit, { kind: 'heuristic', txid, branch: 1, found: 'aborted' }, completed]
    default:
      return [{ kind: 'commit', txid, branches: n % 16 === 7 ? [MAPS] : bulky(n) }]
  }
}

function payloadOf(commands) {
  const writer = new base.ByteWriter()
  txn.encodeCommands(commands, writer)
  return Buffer.from(writer.finish())
}

const payloadsOf = (from, to) => {
  const payloads = []
  for (let n = from; n < to; n++) for (const command of commandsOf(n)) payloads.push(payloadOf([command]))
  return payloads
}

// ------------------------------------------------------------------------ nodes

/** A ledger over a replica, as a coordinator keeps it. */
class Node {
  ledger = new txn.Ledger()
  applied = 0
  leads = false

  static async start(options) {
    const node = new Node()
    node.replica = await replica.Replica.open({
      clusterId: CLUSTER,
      disk: wal.nodeDisk,
      clock: base.systemClock,
      seed: 1,
      logger: silent,
      onFatal: (error) => {
        throw error
      },
      ...options,
      options: { segmentBytesMax: SEGMENT_BYTES, ...options.options },
    })
    if (options.network !== undefined) await node.#listen(options)
    await node.replica.start({
      apply: (payload) => {
        for (const command of txn.decodeCommands(payload)) node.ledger.apply(command, [])
        node.applied++
        node.onApplied?.(node.applied)
      },
      leading: () => {
        node.leads = true
      },
      following: () => {
        node.leads = false
      },
      // Asked of state machines by later releases only.
      freeze: () => node.ledger.freeze(),
      restore: () => node.ledger.restore(),
    })
    return node
  }

  async #listen({ network, members, nodeId }) {
    const { host, port } = members.find((member) => member.nodeId === nodeId)
    this.listener = await transport.listen({
      network,
      host,
      port,
      clusterId: CLUSTER,
      clock: base.systemClock,
      accept: (hello) =>
        this.replica.acceptPeer(hello) ?? {
          kind: 'welcome',
          protocolMajor: transport.PROTOCOL_MAJOR,
          protocolMinor: transport.PROTOCOL_MINOR,
          clusterId: CLUSTER,
          node: this.replica.identity(),
          leader: undefined,
        },
      onConnection: (connection) => this.replica.addPeerConnection(connection),
    })
  }

  propose(payload) {
    const result = this.replica.propose(payload)
    if (result.kind !== 'accepted') throw new Error(`refused: ${result.reason}`)
  }

  async stop() {
    await this.listener?.close()
    await this.replica.close()
  }

  expected(transactions) {
    const outcomes = {}
    for (let n = 0; n < transactions; n++) outcomes[txidOf(n)] = this.ledger.knowledge(txidOf(n))
    const { openCount, finishedCount, heuristicCount, committedCount, abortedCount, watermarkMs } = this.ledger
    const counts = { openCount, finishedCount, heuristicCount, committedCount, abortedCount, watermarkMs }
    return { applied: this.applied, digest: this.ledger.digest(), counts, outcomes }
  }
}

async function eventually(what, check) {
  const deadline = Date.now() + 20_000
  while (!check()) {
    if (Date.now() > deadline) throw new Error(`it did not happen: ${what}`)
    await new Promise((done) => setTimeout(done, 5))
  }
}

const memberOf = (port, at) => ({ nodeId: base.parseNodeId(at + 1), host: '127.0.0.1', port })

// -------------------------------------------------------------------- directories

/** Copies the log's files, each compressed: most of a segment is zeros. The lock is this machine's own. */
function keep(directory, name) {
  const into = join(resolve(target), name)
  mkdirSync(into, { recursive: true })
  for (const file of readdirSync(directory)) {
    if (file.startsWith('lock.')) continue
    writeFileSync(join(into, `${file}.gz`), gzipSync(readFileSync(join(directory, file)), { level: 9 }))
  }
}

/**
 * Three nodes. Node 1 leads and appends entries that only it has; the other two go on without it; then it comes back
 * and its tail is overwritten.
 */
async function makeFleet() {
  const transactions = 120
  const members = [7001, 7002, 7003].map(memberOf)
  const network = transport.memoryNetwork()
  const start = (number, electionTimeoutMs) =>
    Node.start({
      nodeId: base.parseNodeId(number),
      members,
      network,
      directory: join(work, `node${number}`),
      options: { electionTimeoutMs },
    })
  let [one, two, three] = [await start(1, 100), await start(2, 3000), await start(3, 3000)]
  await eventually('node 1 leads', () => one.leads)
  const early = [...payloadsOf(0, 40), payloadOf([{ kind: 'watermark', beforeMs: START_MS + 20_000 }])]
  for (const payload of early) one.propose(payload)
  await eventually('all have the first part', () => [one, two, three].every((node) => node.applied === early.length))

  await Promise.all([two.stop(), three.stop()])
  for (let n = 0; n < 5; n++) one.propose(payloadOf([{ kind: 'watermark', beforeMs: START_MS + 100_000 + n }]))
  await new Promise((done) => setTimeout(done, 50))
  const lostUpTo = one.replica.status().raft.lastIndex
  await one.stop()

  two = await start(2, 100)
  three = await start(3, 3000)
  await eventually('node 2 leads', () => two.leads)
  const late = payloadsOf(40, transactions)
  for (const payload of late.slice(0, 100)) two.propose(payload)
  await eventually('node 3 has them', () => three.replica.status().raft.commitIndex >= early.length + 100)
  one = await start(1, 3000)
  for (const payload of late.slice(100)) two.propose(payload)
  const all = early.length + late.length
  await eventually('all have everything', () => [one, two, three].every((node) => node.applied === all))
  // Bounds of what peers acknowledged are written along with other records, at most every five seconds.
  await new Promise((done) => setTimeout(done, 6000))
  const [last] = [payloadOf([{ kind: 'watermark', beforeMs: START_MS + 30_000 }])]
  two.propose(last)
  await eventually('all have the last', () => [one, two, three].every((node) => node.applied === all + 1))
  const expected = one.expected(transactions)
  const nodes = [one, two, three].map((node) => {
    if (node.ledger.digest() !== expected.digest) throw new Error('the nodes differ')
    const { storeId, raft } = node.replica.status()
    return { storeId, currentTerm: raft.currentTerm, votedFor: raft.votedFor, lastIndex: raft.lastIndex }
  })
  await Promise.all([one.stop(), two.stop(), three.stop()])
  for (const number of [1, 2, 3]) keep(join(work, `node${number}`), `fleet/node${number}`)
  return { ...expected, overwrittenUpTo: lostUpTo, nodes }
}

async function makeGroupOfOne() {
  const transactions = 64
  const options = { nodeId: base.parseNodeId(1), members: [memberOf(0, 0)], directory: join(work, 'embedded') }
  const node = await Node.start(options)
  await eventually('it leads', () => node.leads)
  const payloads = [...payloadsOf(0, transactions), payloadOf([{ kind: 'watermark', beforeMs: START_MS + 9_000 }])]
  for (const payload of payloads) node.propose(payload)
  await eventually('all is applied', () => node.applied === payloads.length)
  const expected = { ...node.expected(transactions), storeId: node.replica.status().storeId }
  await node.stop()
  keep(options.directory, 'embedded')

  const torn = await makeTorn(options, transactions)
  return { embedded: expected, torn }
}

/** One more entry is written, the power goes, and of the write's sectors only some reached the disk. */
async function makeTorn(options, transactions) {
  const directory = join(work, 'torn')
  cpSync(options.directory, directory, {
    recursive: true,
    filter: (path) => !/lock\.\d+$/.test(path),
  })
  const node = await Node.start({ ...options, directory })
  await eventually('it leads and has applied its log', () => node.leads)
  const expected = node.expected(transactions)
  await new Promise((done) => setTimeout(done, 200))
  const names = participantNames(40)
  const branches = names.map((name, at) => branch(at, 'local', name, 'commit', undefined))
  const copy = join(work, 'torn-copy')
  const copied = new Promise((done) => {
    // In the same turn: 50 ms later an idle log proves its last batch, and then damage is damage.
    node.onApplied = () => {
      cpSync(directory, copy, { recursive: true, filter: (path) => !/lock\.\d+$/.test(path) })
      done()
    }
  })
  node.propose(payloadOf([{ kind: 'commit', txid: txidOf(transactions), branches }]))
  await copied
  await node.stop()
  tear(copy, names.at(-1))
  // The release itself must take it for a torn write.
  keep(copy, 'torn')
  const again = await Node.start({ ...options, directory: copy })
  await eventually('it leads', () => again.leads)
  const found = again.expected(transactions)
  if (found.digest !== expected.digest) throw new Error('the release itself does not find the state before the tear')
  await again.stop()
  return { ...expected, tornTxid: txidOf(transactions) }
}

const participantNames = (count) => Array.from({ length: count }, (_, at) => `participant-number-${at}`)

/** Zeroes what lies behind the middle of the last write: the place where `word` stands is its end. */
function tear(directory, word) {
  for (const file of readdirSync(directory)) {
    const path = join(directory, file)
    const bytes = readFileSync(path)
    const at = bytes.lastIndexOf(word)
    if (at < 0) continue
    bytes.fill(0, at - 400, at + word.length + 16)
    writeFileSync(path, bytes)
    return
  }
  throw new Error('the last write is not in the log')
}

// --------------------------------------------------------------------------- frames

function makeFrames() {
  const txid = txidOf(1)
  const node = { nodeId: 3, storeId: '00112233445566778899aabbccddeeff', durableIndex: 2 ** 40 + 1 }
  const leader = { nodeId: 2, address: 'db2.example:7400' }
  const branches = [FLIGHTS, HOTELS, CARS, MAPS]
  const ids = { from: 1, to: 65535, term: 2 ** 33 + 7 }
  const version = { protocolMajor: transport.PROTOCOL_MAJOR, protocolMinor: transport.PROTOCOL_MINOR }
  const entry = (index, kind, data) => ({ term: 2 ** 33 + 7, index, kind, data })
  const messages = [
    { kind: 'hello', ...version, role: 'peer', clusterId: CLUSTER, node, name: 'node 3' },
    { kind: 'hello', ...version, role: 'client', clusterId: undefined, node: undefined, name: 'shop' },
    { kind: 'welcome', ...version, clusterId: CLUSTER, node, leader },
    { kind: 'rejected', code: 'NODE_STORE_OLD', message: 'an older copy' },
    { kind: 'ping', nonce: 4_000_000_000 },
    { kind: 'pong', nonce: 7 },
    { kind: 'requestVote', ...ids, preVote: false, lastLogIndex: 12, lastLogTerm: 3 },
    { kind: 'requestVote', ...ids, preVote: true, lastLogIndex: 2 ** 34, lastLogTerm: 2 ** 33 },
    { kind: 'requestVoteResponse', ...ids, preVote: true, voteGranted: true },
    {
      kind: 'appendEntries',
      ...ids,
      prevLogIndex: 41,
      prevLogTerm: 2,
      entries: [
        entry(42, 0, Buffer.alloc(0)),
        entry(43, 1, payloadOf(commandsOf(1))),
        entry(44, 1, payloadOf(commandsOf(2))),
      ],
      leaderCommit: 40,
      readRound: 9,
    },
    { kind: 'appendEntries', ...ids, prevLogIndex: 0, prevLogTerm: 0, entries: [], leaderCommit: 0, readRound: 0 },
    { kind: 'appendEntriesResponse', ...ids, success: true, matchIndex: 44, hintIndex: 0, hintTerm: 0, readRound: 9 },
    { kind: 'appendEntriesResponse', ...ids, success: false, matchIndex: 9, hintIndex: 8, hintTerm: 2, readRound: 1 },
    { kind: 'commit', requestId: 1, clusterId: CLUSTER, txid, timeoutMs: 30_000, branches },
    { kind: 'abort', requestId: 2, clusterId: CLUSTER, txid, participant: 'cars', branches },
    { kind: 'ack', txid, branches: [0, 1, 63] },
    { kind: 'inquire', requestId: 3, clusterId: CLUSTER, txid, settle: true },
    { kind: 'admin', requestId: 4, method: 'status', json: '{"all":true}' },
    { kind: 'vote', txid, branch: 2, vote: 'readOnly', evidence: '4711' },
    { kind: 'outcome', requestId: 1, txid, outcome: { kind: 'committed' } },
    { kind: 'outcome', requestId: 1, txid, outcome: { kind: 'aborted', reason: 'deadline', participant: 'cars' } },
    { kind: 'refused', requestId: 1, code: 'NOT_LEADER', message: 'ask node 2', retryable: true, leader },
    { kind: 'adminResult', requestId: 4, json: '{"term":3}' },
    { kind: 'leader', leader },
    { kind: 'prepare', txid, branch: 2, participant: 'cars', timeoutMs: 500 },
    { kind: 'decision', txid, branch: 2, decision: 'commit' },
  ]
  return messages.map((message) => {
    const writer = new base.ByteWriter()
    transport.encodeFrame(message, writer)
    const frame = Buffer.from(writer.finish())
    return { kind: message.kind, hex: frame.toString('hex'), message: transport.decodeFrame(frame, 0, frame.length) }
  })
}

/** Bytes as `{ "hex": … }`; what is undefined as null, so that nothing is left out. */
function replacer(key, value) {
  if (value === undefined) return null
  if (key === 'data') return { hex: Buffer.from(value.data ?? value).toString('hex') }
  return value
}

mkdirSync(resolve(target), { recursive: true })
const write = (name, value) => writeFileSync(join(resolve(target), name), `${JSON.stringify(value, replacer, 1)}\n`)
write('frames.json', makeFrames())
const fleet = await makeFleet()
const one = await makeGroupOfOne()
const { PROTOCOL_MAJOR: major, PROTOCOL_MINOR: minor } = transport
write('expected.json', { cluster: CLUSTER, segmentBytes: SEGMENT_BYTES, protocol: `${major}.${minor}`, fleet, ...one })
rmSync(work, { recursive: true, force: true })
process.exit(0)
