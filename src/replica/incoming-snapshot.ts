import type { InstallSnapshot } from '../raft/index.ts'
import { FileDraft } from '../wal/index.ts'
import { receivedName } from './snapshot-names.ts'
import { SnapshotParser } from './snapshot-parser.ts'
import type { SnapshotStore } from './snapshot-store.ts'

/** What has come reaches the disk at least so often: one large sync at the end would hold up the log's writes. */
const SYNC_EVERY_BYTES = 4 * 1024 * 1024

type Wanted = Pick<InstallSnapshot, 'snapshot' | 'snapshotId' | 'totalBytes'>

/** A snapshot of which a part has come. All of that part is checked. */
export class IncomingSnapshot {
  readonly #wanted: Wanted
  readonly #draft: FileDraft
  readonly #parser: SnapshotParser
  readonly #clusterId: string
  #unsyncedBytes = 0

  private constructor(wanted: Wanted, draft: FileDraft, parser: SnapshotParser, clusterId: string) {
    this.#wanted = wanted
    this.#draft = draft
    this.#parser = parser
    this.#clusterId = clusterId
  }

  /** Goes on with what an earlier run left of it, as far as that is good, or begins. */
  static async open(store: SnapshotStore, { snapshot, snapshotId, totalBytes }: Wanted): Promise<IncomingSnapshot> {
    const path = store.pathOf(receivedName(snapshot, snapshotId))
    const parser = new SnapshotParser()
    const check = (piece: Buffer): number => {
      parser.push(piece)
      return parser.goodBytes
    }
    const { disk, clusterId } = store
    const left = await FileDraft.resume(disk, path, check)
    // The bytes behind the last good part come again.
    parser.rewind()
    const wanted = { snapshot, snapshotId, totalBytes }
    if (left !== undefined && left.length <= totalBytes) return new IncomingSnapshot(wanted, left, parser, clusterId)
    await left?.discard()
    return new IncomingSnapshot(wanted, await FileDraft.begin(disk, path), new SnapshotParser(), clusterId)
  }

  /** Bytes that are here. */
  get length(): number {
    return this.#draft.length
  }

  isOf({ snapshot, snapshotId, totalBytes }: Wanted): boolean {
    const wanted = this.#wanted
    const isSame = wanted.snapshot.index === snapshot.index && wanted.snapshot.term === snapshot.term
    return isSame && wanted.snapshotId === snapshotId && wanted.totalBytes === totalBytes
  }

  /** Why what came can't become the snapshot, if so. */
  get fault(): string | undefined {
    const { fault, header } = this.#parser
    if (fault !== undefined) return `at byte ${fault.offset} ${fault.what}`
    if (header === undefined) return undefined
    const { index, term } = header.position
    if (header.clusterId !== this.#clusterId) return `it belongs to cluster ${header.clusterId}`
    const { snapshot } = this.#wanted
    return index === snapshot.index && term === snapshot.term ? undefined : `it covers entry ${index} of term ${term}`
  }

  async append(data: Uint8Array): Promise<void> {
    this.#parser.push(Buffer.from(data.buffer, data.byteOffset, data.byteLength))
    if (this.#parser.fault !== undefined) return
    await this.#draft.append(data)
    this.#unsyncedBytes += data.length
    if (this.#unsyncedBytes < SYNC_EVERY_BYTES) return
    this.#unsyncedBytes = 0
    await this.#draft.sync()
  }

  /** All bytes are here: what is wrong with the whole, if something is. */
  end(): string | undefined {
    this.#parser.end()
    if (this.fault !== undefined) return this.fault
    return this.#parser.snapshotId === this.#wanted.snapshotId ? undefined : 'it is not the one that was announced'
  }

  /** Gives it its name; durable when this resolves. */
  publish(): Promise<void> {
    return this.#draft.publish()
  }

  /** Leaves what is here for a later `open`. */
  close(): Promise<void> {
    return this.#draft.close()
  }

  discard(): Promise<void> {
    return this.#draft.discard()
  }
}
