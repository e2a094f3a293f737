import { afterEach, expect, test } from 'vitest'
import { parseNodeId } from '../base/index.ts'
import { memoryNetwork } from '../transport/index.ts'
import { MemoryDisk } from '../wal/index.ts'
import { eventually, membersOn, replicaOptions } from './fleet.support.ts'
import { BACKUP_FILE, backUp } from './offline/back-up.support.ts'
import { forceNewCluster } from './offline/force-new-cluster.ts'
import { restoreBackup } from './offline/restore-backup.ts'
import { Recorder } from './recorder.support.ts'
import { Replica } from './replica.ts'

// A node that is all of its group, and has no network, is not even woken by a timer: it leads by what it does at its start.

const DIRECTORY = '/data/log'
const [SELF] = membersOn([7001]) as [ReturnType<typeof membersOn>[0]]
const opened: Replica[] = []

afterEach(async () => {
  for (const replica of opened.splice(0)) await replica.close()
})

interface Embedded {
  readonly replica: Replica
  readonly recorder: Recorder
}

async function lead(disk: MemoryDisk): Promise<Embedded> {
  const recorder = new Recorder()
  const place = { network: memoryNetwork(), disk, directory: DIRECTORY, members: [SELF], nodeId: SELF.nodeId }
  const replica = await Replica.open({ ...replicaOptions(place, () => {}), network: undefined })
  opened.push(replica)
  await replica.start(recorder)
  await eventually('it leads', () => recorder.leads)
  return { replica, recorder }
}

async function propose({ replica, recorder }: Embedded, texts: readonly string[]): Promise<void> {
  const count = recorder.applied.length + texts.length
  for (const text of texts) expect(replica.propose(Buffer.from(text)).kind).toBe('accepted')
  await eventually('it applied them', () => recorder.applied.length === count)
}

const TEXTS = Array.from({ length: 200 }, (_, at) => `p${at}`)

test('an embedded node that was forced to go on leads as soon as it has applied what it has', async () => {
  const disk = new MemoryDisk()
  const first = await lead(disk)
  await propose(first, TEXTS)
  await first.replica.close()
  const payloads = [Buffer.from('guarded')]
  await forceNewCluster({ disk, directory: DIRECTORY, endpoint: undefined, payloads, reason: 'a damaged disk' })
  const second = await lead(disk)
  expect(second.recorder.applied).toEqual([...TEXTS, 'guarded'])
  expect(second.recorder.appliedAtLeading).toBe(201)
  await propose(second, ['on'])
})

test.each([0, 3])(
  'an embedded node that was restored from a backup, with %i commands behind it, leads',
  async (count) => {
    const first = await lead(new MemoryDisk())
    await propose(first, TEXTS)
    const disk = await backUp(first)
    const payloads = TEXTS.slice(0, count).map((text) => Buffer.from(text))
    const endpoint = { host: SELF.host, port: SELF.port }
    await restoreBackup({
      disk,
      file: BACKUP_FILE,
      directory: DIRECTORY,
      nodeId: parseNodeId(1),
      endpoint,
      isOldFleetDestroyed: true,
      payloads,
      reason: 'restored',
    })
    const second = await lead(disk)
    expect(second.recorder.applied).toEqual([...TEXTS, ...TEXTS.slice(0, count)])
    await propose(second, ['on'])
  },
)
