import { ByteReader, type Clock, CodecError, toError } from '../base/index.ts'
import { decodeFrame } from './codec.ts'
import {
  ConnectionClosedError,
  ConnectTimeoutError,
  HandshakeRejectedError,
  ProtocolError,
  RejectionCode,
  TlsFailedError,
} from './errors.ts'
import { FRAME_HEADER_BYTES, FrameKind, HANDSHAKE_BODY_BYTES_MAX } from './frame.ts'
import { FrameReader, frameKindAt } from './frame-reader.ts'
import { readVersion } from './handshake-codec.ts'
import { type Message, PROTOCOL_MAJOR, PROTOCOL_MINOR } from './messages.ts'
import type { ByteStream } from './network.ts'
import { detectStranger, OPENING_BYTES } from './stranger.ts'

export interface FirstFrameOptions {
  readonly stream: ByteStream
  readonly clock: Clock
  readonly timeoutMs: number
  /** The kinds that may come. */
  readonly kinds: readonly number[]
  /** The frame came. `reader` holds what followed it and goes on with the stream; `stream.receive` must be called now. */
  readonly onMessage: (message: Message, reader: FrameReader) => void
  /** It did not. The stream is still open when the error is one to be answered. */
  readonly onFailure: (error: Error) => void
}

/** Waits for the one frame that opens a connection, and lets nobody waste more than a little of our time and memory. */
export function awaitFirstFrame(options: FirstFrameOptions): { cancel(): void } {
  const { stream, clock, kinds } = options
  const reader = new FrameReader(HANDSHAKE_BODY_BYTES_MAX)
  let opening: Buffer = Buffer.alloc(0)
  let done = false
  const timer = clock.after(options.timeoutMs, () => fail(handshakeTimeout(options.timeoutMs)))
  const finish = () => {
    done = true
    clock.cancel(timer)
  }
  const fail = (error: Error) => {
    if (done) return
    finish()
    options.onFailure(error)
  }
  const onData = (chunk: Buffer) => {
    if (done) return
    if (opening.length < OPENING_BYTES) {
      opening = Buffer.concat([opening, chunk.subarray(0, 16)])
      const stranger = detectStranger(opening, kinds)
      if (stranger !== undefined) return fail(stranger)
    }
    const message = readFirst(reader, chunk)
    if (message === undefined) return
    if (message instanceof Error) return fail(message)
    finish()
    options.onMessage(message, reader)
  }
  stream.receive({ onData, onClose: (error) => fail(closedEarly(error)) })
  return { cancel: finish }
}

function readFirst(reader: FrameReader, chunk: Buffer): Message | Error | undefined {
  try {
    reader.push(chunk)
    if (!reader.next()) return undefined
    return otherMajor(reader) ?? decodeFrame(reader.buffer, reader.start, reader.end)
  } catch (error) {
    if (error instanceof ProtocolError) return error
    if (!(error instanceof CodecError)) throw error
    return new ProtocolError(`the handshake cannot be read: ${error.message}; the connection is closed`, {
      cause: error,
    })
  }
}

/** Another major may have laid out the rest otherwise, so only the frozen head is read. */
function otherMajor(reader: FrameReader): Error | undefined {
  if (frameKindAt(reader.buffer, reader.start) === FrameKind.rejected) return undefined
  const version = readVersion(new ByteReader(reader.buffer, reader.start + FRAME_HEADER_BYTES, reader.end))
  if (version.protocolMajor === PROTOCOL_MAJOR) return undefined
  return new HandshakeRejectedError(
    RejectionCode.protocolVersion,
    `the other side speaks protocol ${version.protocolMajor}.${version.protocolMinor}, this one ${PROTOCOL_MAJOR}.${PROTOCOL_MINOR}; run releases with the same major`,
  )
}

function handshakeTimeout(timeoutMs: number): Error {
  return new ConnectTimeoutError(`no handshake within ${timeoutMs} ms; the connection is closed`)
}

function closedEarly(error: Error | undefined): Error {
  if (error instanceof TlsFailedError) return error
  const how = error === undefined ? '' : `: ${toError(error).message}`
  return new ConnectionClosedError(
    `the other side closed the connection before the handshake was done${how}; does it speak TLS on this port, or is it stopping?`,
    { cause: error },
  )
}
