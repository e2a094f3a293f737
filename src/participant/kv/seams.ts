import type { KvOptions, KvStore } from '../../kv/index.ts'
import { drawId, type ParticipantSeams } from '../seams.ts'

/** What a participant takes from its machine; see ParticipantSeams. @internal */
export interface KeyValueSeams extends ParticipantSeams {
  /** Where committed data lies, instead of in LMDB. */
  readonly openStore?: (directory: string) => Promise<KvStore>
  /** Of the log. */
  readonly segmentBytesMax?: number
}

/** What the engine takes from the machine. */
export async function engineSeams(seams: KeyValueSeams, directory: string): Promise<Partial<KvOptions>> {
  const { clock, disk, later: defer, openStore, segmentBytesMax } = seams
  const store = openStore === undefined ? {} : { store: await openStore(`${directory}/data`) }
  const size = segmentBytesMax === undefined ? {} : { segmentBytesMax }
  return { clock, disk, defer, random: () => drawId(seams), ...store, ...size }
}
