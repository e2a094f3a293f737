import { ByteReader, ByteWriter, CodecError } from '../../base/index.ts'
import { KvStoreFailedError } from './errors.ts'

/** Up to where the store has what the log says: the store's mark. */
export interface StoreMark {
  /** Whose log. */
  readonly storeId: string
  /** The position of the checkpoint's head: all that was committed before it is in the store. */
  readonly position: number
}

const FORMAT = 1

/** `| format u8 = 1 | position u53 | store id of the log: length u16, text |` */
export function encodeMark({ storeId, position }: StoreMark): Buffer {
  const writer = new ByteWriter(64)
  writer.u8(FORMAT)
  writer.u53(position)
  writer.text(storeId)
  return writer.finish()
}

/** @throws KvStoreFailedError when it is not what `encodeMark` writes */
export function decodeMark(bytes: Buffer): StoreMark {
  const reader = new ByteReader(bytes)
  try {
    const format = reader.u8()
    if (format !== FORMAT) throw new CodecError(`format ${format}, and this is ${FORMAT}`)
    const position = reader.u53()
    const storeId = reader.text()
    reader.finish()
    return { storeId, position }
  } catch (error) {
    if (!(error instanceof CodecError)) throw error
    throw new KvStoreFailedError(`its mark can't be read: ${error.message}`, { cause: error })
  }
}
