import { Ledger } from './ledger.ts'
import type { LedgerSnapshot } from './ledger-snapshot.ts'

/** All pieces that are left of a snapshot, joined. */
export function drain(snapshot: LedgerSnapshot): Buffer {
  const pieces: Uint8Array[] = []
  for (let piece = snapshot.next(); piece !== undefined; piece = snapshot.next()) pieces.push(piece)
  snapshot.close()
  return Buffer.concat(pieces)
}

/** A ledger read back from the pieces. @throws CodecError */
export function restored(pieces: readonly Uint8Array[]): Ledger {
  const ledger = new Ledger()
  const restore = ledger.restore()
  for (const piece of pieces) restore.add(piece)
  restore.finish()
  return ledger
}
