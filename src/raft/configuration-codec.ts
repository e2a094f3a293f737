import { ByteReader, ByteWriter, CodecError, type NodeId, parseNodeId } from '../base/index.ts'
import { configurationFault } from './configuration.ts'
import type { Configuration } from './types.ts'

/** A configuration together with what the shell wants to know wherever it is in force: the members' addresses. */
export interface ConfigurationData {
  readonly configuration: Configuration
  /** Opaque to Raft. Empty in changes that a leader made by itself: then what was known before still holds. */
  readonly context: Uint8Array
}

const VERSION = 1

// A configuration as the data of an entry, and in the headers of snapshots. Big-endian:
//
//   version u8 = 1
//   voters, votersOutgoing, learners, learnersNext, rebuilding, retired:
//     each: count u16, then node ids u16, none twice
//   context length u32, then its bytes
//
// Nothing may follow. A later version that a node doesn't know must stop it: it can't tell who votes.

/** The bytes of a configuration. */
export function encodeConfiguration({ configuration, context }: ConfigurationData): Uint8Array {
  const writer = new ByteWriter(64 + context.length)
  writer.u8(VERSION)
  nodes(writer, configuration.voters)
  nodes(writer, configuration.votersOutgoing)
  nodes(writer, configuration.learners)
  nodes(writer, configuration.learnersNext)
  nodes(writer, configuration.rebuilding)
  nodes(writer, configuration.retired)
  writer.bytes(context)
  return writer.finish()
}

/**
 * Reads what `encodeConfiguration` wrote. The context is a copy.
 * @throws CodecError for anything else, also for members that contradict each other
 */
export function decodeConfiguration(data: Uint8Array): ConfigurationData {
  const reader = new ByteReader(Buffer.from(data.buffer, data.byteOffset, data.byteLength))
  const version = reader.u8()
  if (version !== VERSION) throw new CodecError(`a configuration of version ${version}; known is ${VERSION}`)
  const configuration: Configuration = {
    voters: readNodes(reader),
    votersOutgoing: readNodes(reader),
    learners: readNodes(reader),
    learnersNext: readNodes(reader),
    rebuilding: readNodes(reader),
    retired: readNodes(reader),
  }
  const context = Uint8Array.from(reader.bytes())
  reader.finish()
  const fault = configurationFault(configuration)
  if (fault !== undefined) throw new CodecError(`a configuration that can't be: ${fault}`)
  return { configuration, context }
}

function nodes(writer: ByteWriter, list: readonly NodeId[]): void {
  writer.u16(list.length)
  for (const node of list) writer.u16(node)
}

function readNodes(reader: ByteReader): NodeId[] {
  const list: NodeId[] = []
  for (let left = reader.u16(); left > 0; left--) list.push(readNode(reader.u16()))
  return list
}

function readNode(value: number): NodeId {
  if (value === 0) throw new CodecError('0 is not a node id')
  return parseNodeId(value)
}
