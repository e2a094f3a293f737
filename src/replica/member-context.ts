import { ByteReader, ByteWriter, CodecError, type NodeId, parseNodeId } from '../base/index.ts'
import type { Endpoint } from '../transport/index.ts'
import { ReplicaLogMalformedError } from './errors.ts'

/** What the shell wants to know of a member wherever its configuration is in force. */
export interface MemberDetails extends Endpoint {
  /** The data directory that the node id is bound to, once the leader has met it. */
  readonly storeId: string | undefined
}

/** The part of a configuration that Raft does not read. */
export interface MemberContext {
  readonly details: ReadonlyMap<NodeId, MemberDetails>
  /** Why the safeguards were left out, in the words of whoever forced the change. */
  readonly forcedBecause: string | undefined
}

const VERSION = 1

// The context of a configuration (raft/configuration-codec.ts). Big-endian; texts have a length u16:
//
//   version u8 = 1
//   count u16, then for each member: node id u16 | host text | port u16 | store id text, empty when it is not known
//   why the change was forced: text, empty when it was not
//
// Nothing may follow: a later version that a node does not know must stop it, for it could not reach its peers.

export function encodeMemberContext({ details, forcedBecause }: MemberContext): Uint8Array {
  const writer = new ByteWriter(64)
  writer.u8(VERSION)
  writer.u16(details.size)
  for (const [nodeId, { host, port, storeId }] of details) {
    writer.u16(nodeId)
    writer.text(host)
    writer.u16(port)
    writer.text(storeId ?? '')
  }
  writer.text(forcedBecause ?? '')
  return writer.finish()
}

/** @throws ReplicaLogMalformedError for anything that `encodeMemberContext` does not write */
export function decodeMemberContext(context: Uint8Array): MemberContext {
  const reader = new ByteReader(Buffer.from(context.buffer, context.byteOffset, context.byteLength))
  try {
    const version = reader.u8()
    if (version !== VERSION) throw new CodecError(`version ${version}; known is ${VERSION}`)
    const details = new Map<NodeId, MemberDetails>()
    for (let left = reader.u16(); left > 0; left--) {
      const nodeId = parseNodeId(reader.u16())
      details.set(nodeId, { host: reader.text(), port: reader.u16(), storeId: reader.text() || undefined })
    }
    const forcedBecause = reader.text() || undefined
    reader.finish()
    return { details, forcedBecause }
  } catch (cause) {
    if (!(cause instanceof CodecError) && (cause as { readonly code?: string }).code !== 'MALFORMED_ID') throw cause
    throw new ReplicaLogMalformedError(`the addresses of a configuration: ${(cause as Error).message}`, { cause })
  }
}
