import { type ByteReader, type ByteWriter, CodecError } from '../base/index.ts'
import {
  readClusterId,
  readFlag,
  readIdentity,
  readLeader,
  readOptional,
  readWord,
  writeFlag,
  writeIdentity,
  writeLeader,
  writeMessageText,
  writeOptional,
  writeText,
  writeWord,
} from './fields.ts'
import { MAGIC } from './frame.ts'
import {
  type Hello,
  type NodeIdentity,
  type NodeRun,
  PROTOCOL_MAJOR,
  PROTOCOL_MINOR,
  type Rejected,
  type Welcome,
} from './messages.ts'

const ROLES = ['peer', 'client', 'participant', 'kv'] as const

// Frozen for every version to come, because they are read before a version is agreed on: that hello and welcome begin
// with `magic | u16 major | u16 minor`, and the whole of `rejected` = `magic | code | message | …`.

export function writeHello(writer: ByteWriter, message: Hello): void {
  writeVersion(writer, message)
  writeWord(writer, ROLES, message.role)
  writeOptional(writer, message.clusterId, writeText)
  writeOptional(writer, message.node, writeIdentity)
  writer.text(message.name)
  writeRun(writer, message, message.node)
}

export function readHello(reader: ByteReader): Hello {
  const version = readVersion(reader)
  const message: Hello = {
    kind: 'hello',
    ...version,
    role: readWord(reader, ROLES, 'role'),
    clusterId: readOptional(reader, readClusterId),
    node: readOptional(reader, readIdentity),
    name: reader.text(),
  }
  const { node } = message
  const whole = node === undefined ? message : { ...message, node: readRun(reader, node, version.protocolMinor) }
  skipNewerFields(reader, version)
  return whole
}

export function writeWelcome(writer: ByteWriter, message: Welcome): void {
  writeVersion(writer, message)
  writer.text(message.clusterId)
  writeIdentity(writer, message.node)
  writeOptional(writer, message.leader, writeLeader)
  writeRun(writer, message, message.node)
}

export function readWelcome(reader: ByteReader): Welcome {
  const version = readVersion(reader)
  const message: Welcome = {
    kind: 'welcome',
    ...version,
    clusterId: readClusterId(reader),
    node: readIdentity(reader),
    leader: readOptional(reader, readLeader),
  }
  const whole = { ...message, node: readRun(reader, message.node, version.protocolMinor) }
  skipNewerFields(reader, version)
  return whole
}

export function writeRejected(writer: ByteWriter, message: Rejected): void {
  writer.u32(MAGIC)
  writer.text(message.code)
  writeMessageText(writer, message.message)
}

/** Any sender's version, so what follows the two texts is skipped. */
export function readRejected(reader: ByteReader): Rejected {
  readMagic(reader)
  const message: Rejected = { kind: 'rejected', code: reader.text(), message: reader.text() }
  reader.take(reader.remaining)
  return message
}

/** The version at the head of a hello's or welcome's body, even of a major that we can't read further. */
export function readVersion(reader: ByteReader): { readonly protocolMajor: number; readonly protocolMinor: number } {
  readMagic(reader)
  return { protocolMajor: reader.u16(), protocolMinor: reader.u16() }
}

function writeVersion(writer: ByteWriter, message: Hello | Welcome): void {
  writer.u32(MAGIC)
  writer.u16(message.protocolMajor)
  writer.u16(message.protocolMinor)
}

function readMagic(reader: ByteReader): void {
  if (reader.u32() !== MAGIC) throw new CodecError('the handshake does not begin with "CDTP"')
}

/** A field of 1.1, behind all others: readers of 1.0 skip it. */
function writeRun(
  writer: ByteWriter,
  { protocolMinor }: { readonly protocolMinor: number },
  node: NodeIdentity | undefined,
): void {
  if (node === undefined || protocolMinor < 1) return
  writeOptional(writer, node.run, (into, { incarnation, doubtful }) => {
    into.u53(incarnation)
    writeFlag(into, doubtful)
  })
}

function readRun(reader: ByteReader, node: NodeIdentity, protocolMinor: number): NodeIdentity {
  if (protocolMinor < 1) return node
  const run = readOptional(reader, (from): NodeRun => ({ incarnation: from.u53(), doubtful: readFlag(from) }))
  return run === undefined ? node : { ...node, run }
}

/** A newer minor may append fields, which we skip. From our own version, or an older one, leftovers mean damage. */
function skipNewerFields(reader: ByteReader, version: { protocolMajor: number; protocolMinor: number }): void {
  const newer = version.protocolMajor !== PROTOCOL_MAJOR || version.protocolMinor > PROTOCOL_MINOR
  if (newer) reader.take(reader.remaining)
}
