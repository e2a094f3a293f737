import { ByteReader, type ByteWriter, CodecError, unreachable } from '../base/index.ts'
import * as client from './client-codec.ts'
import * as deadlock from './deadlock-codec.ts'
import { FrameTooLargeError } from './errors.ts'
import { FRAME_BODY_BYTES_MAX, FRAME_HEADER_BYTES, FrameKind } from './frame.ts'
import * as handshake from './handshake-codec.ts'
import type { Message } from './messages.ts'
import * as raft from './raft-codec.ts'
import * as server from './server-codec.ts'
import * as snapshot from './snapshot-codec.ts'

/**
 * Appends `message` to `into` as one frame.
 *
 * @throws FrameTooLargeError when its body exceeds FRAME_BODY_BYTES_MAX, and CodecError when a value does not fit its
 * field. Then the bytes behind the former `into.length` are garbage and must not be sent.
 */
export function encodeFrame(message: Message, into: ByteWriter): void {
  const start = into.reserve(FRAME_HEADER_BYTES)
  into.target[start + 4] = FrameKind[message.kind]
  writeBody(message, into)
  const bodyBytes = into.length - start - FRAME_HEADER_BYTES
  if (bodyBytes > FRAME_BODY_BYTES_MAX) {
    throw new FrameTooLargeError(
      `a ${message.kind} message of ${bodyBytes} bytes exceeds the ${FRAME_BODY_BYTES_MAX} of a frame; nothing was sent; send less at a time`,
    )
  }
  into.patchU32(start, bodyBytes + 1)
}

/**
 * The message in the frame that fills `buffer` from `start` (its length field) to `end`.
 * Byte fields of the result are views of `buffer`, so the caller must not reuse it.
 *
 * @throws CodecError, and nothing else, unless the frame is valid to its last byte
 */
export function decodeFrame(buffer: Buffer, start: number, end: number): Message {
  const reader = new ByteReader(buffer, start, end)
  const length = reader.u32()
  if (length !== reader.remaining) {
    throw new CodecError(`the frame says ${length} bytes and has ${reader.remaining}`)
  }
  const kind = reader.u8()
  const message = readBody(kind, reader)
  reader.finish()
  return message
}

function writeBody(message: Message, writer: ByteWriter): void {
  switch (message.kind) {
    case 'appendEntries':
      raft.writeAppendEntries(writer, message)
      break
    case 'appendEntriesResponse':
      raft.writeAppendEntriesResponse(writer, message)
      break
    case 'commit':
      client.writeCommit(writer, message)
      break
    case 'outcome':
      server.writeOutcome(writer, message)
      break
    case 'ack':
      client.writeAck(writer, message)
      break
    case 'inquire':
      client.writeInquire(writer, message)
      break
    case 'abort':
      client.writeAbort(writer, message)
      break
    case 'admin':
      client.writeAdmin(writer, message)
      break
    case 'vote':
      client.writeVote(writer, message)
      break
    case 'kvCall':
    case 'kvAnswer':
      writer.u53(message.requestId)
      writer.bytes(message.payload)
      break
    case 'waiting':
      deadlock.writeWaiting(writer, message)
      break
    case 'lockWaits':
      deadlock.writeLockWaits(writer, message)
      break
    case 'deadlock':
      deadlock.writeDeadlock(writer, message)
      break
    case 'refused':
      server.writeRefused(writer, message)
      break
    case 'adminResult':
      server.writeAdminResult(writer, message)
      break
    case 'leader':
      server.writeLeaderChange(writer, message)
      break
    case 'prepare':
      server.writePrepare(writer, message)
      break
    case 'decision':
      server.writeDecision(writer, message)
      break
    case 'requestVote':
      raft.writeRequestVote(writer, message)
      break
    case 'requestVoteResponse':
      raft.writeRequestVoteResponse(writer, message)
      break
    case 'timeoutNow':
      raft.writeTimeoutNow(writer, message)
      break
    case 'readIndex':
      raft.writeReadIndex(writer, message)
      break
    case 'readIndexResponse':
      raft.writeReadIndexResponse(writer, message)
      break
    case 'installSnapshot':
      snapshot.writeInstallSnapshot(writer, message)
      break
    case 'installSnapshotResponse':
      snapshot.writeInstallSnapshotResponse(writer, message)
      break
    case 'ping':
    case 'pong':
      writer.u32(message.nonce)
      break
    case 'hello':
      handshake.writeHello(writer, message)
      break
    case 'welcome':
      handshake.writeWelcome(writer, message)
      break
    case 'rejected':
      handshake.writeRejected(writer, message)
      break
    default:
      unreachable(message)
  }
}

function readBody(kind: number, reader: ByteReader): Message {
  switch (kind) {
    case FrameKind.appendEntries:
      return raft.readAppendEntries(reader)
    case FrameKind.appendEntriesResponse:
      return raft.readAppendEntriesResponse(reader)
    case FrameKind.commit:
      return client.readCommit(reader)
    case FrameKind.outcome:
      return server.readOutcome(reader)
    case FrameKind.ack:
      return client.readAck(reader)
    case FrameKind.inquire:
      return client.readInquire(reader)
    case FrameKind.abort:
      return client.readAbort(reader)
    case FrameKind.admin:
      return client.readAdmin(reader)
    case FrameKind.vote:
      return client.readVote(reader)
    case FrameKind.kvCall:
      return { kind: 'kvCall', requestId: reader.u53(), payload: reader.bytes() }
    case FrameKind.kvAnswer:
      return { kind: 'kvAnswer', requestId: reader.u53(), payload: reader.bytes() }
    case FrameKind.waiting:
      return deadlock.readWaiting(reader)
    case FrameKind.lockWaits:
      return deadlock.readLockWaits(reader)
    case FrameKind.deadlock:
      return deadlock.readDeadlock(reader)
    case FrameKind.refused:
      return server.readRefused(reader)
    case FrameKind.adminResult:
      return server.readAdminResult(reader)
    case FrameKind.leader:
      return server.readLeaderChange(reader)
    case FrameKind.prepare:
      return server.readPrepare(reader)
    case FrameKind.decision:
      return server.readDecision(reader)
    case FrameKind.requestVote:
      return raft.readRequestVote(reader)
    case FrameKind.requestVoteResponse:
      return raft.readRequestVoteResponse(reader)
    case FrameKind.timeoutNow:
      return raft.readTimeoutNow(reader)
    case FrameKind.readIndex:
      return raft.readReadIndex(reader)
    case FrameKind.readIndexResponse:
      return raft.readReadIndexResponse(reader)
    case FrameKind.installSnapshot:
      return snapshot.readInstallSnapshot(reader)
    case FrameKind.installSnapshotResponse:
      return snapshot.readInstallSnapshotResponse(reader)
    case FrameKind.ping:
      return { kind: 'ping', nonce: reader.u32() }
    case FrameKind.pong:
      return { kind: 'pong', nonce: reader.u32() }
    case FrameKind.hello:
      return handshake.readHello(reader)
    case FrameKind.welcome:
      return handshake.readWelcome(reader)
    case FrameKind.rejected:
      return handshake.readRejected(reader)
    default:
      throw new CodecError(`a frame of unknown kind 0x${kind.toString(16)}`)
  }
}
