import { randomBytes } from 'node:crypto'
import { makeTxid, parseClusterId, parseNodeId } from '../../src/base/index.ts'
import { KvParticipant } from '../../src/kv/index.ts'

/** The accounts between which money moves; their sum is always 0. @internal */
export const ACCOUNTS = Array.from({ length: 40 }, (_, index) => `account/${index}`)

/** @internal */
export function openIn(directory: string): Promise<KvParticipant> {
  return KvParticipant.open({
    directory,
    identity: { clusterId: parseClusterId('trips'), nodeId: parseNodeId(1) },
    segmentBytesMax: 64 * 1024,
    branchBytesMax: 16 * 1024,
    // Small, so that a kill meets checkpoints.
    checkpointBytes: 16 * 1024,
    onFailure: (error) => {
      console.error(error)
      process.exit(1)
    },
  })
}

/** Moves money until it is killed, several transfers at a time, and prints each after its commit is acknowledged. */
async function work(directory: string): Promise<void> {
  const kv = await openIn(directory)
  for (const { txid } of kv.inDoubt()) await kv.commit(txid)
  const move = async (): Promise<void> => {
    for (;;) {
      const txid = makeTxid(Date.now(), randomBytes(10))
      const [from, to] = [randomBytes(1)[0]! % ACCOUNTS.length, randomBytes(1)[0]! % ACCOUNTS.length]
      try {
        const branch = kv.begin(txid)
        await branch.add(ACCOUNTS[from]!, -1)
        await branch.add(ACCOUNTS[to]!, 1)
        await branch.put(`done/${txid}`, randomBytes(100))
        const vote = await kv.prepare(txid)
        if (vote.kind !== 'commit') throw new Error(vote.kind)
        await kv.commit(txid)
        process.stdout.write(`${txid}\n`)
      } catch (error) {
        if ((error as { code?: string }).code !== 'KV_DEADLOCK') throw error
        await kv.abort(txid)
      }
    }
  }
  await Promise.all(Array.from({ length: 8 }, move))
}

const directory = process.env.KV_DIRECTORY
if (directory !== undefined) await work(directory)
