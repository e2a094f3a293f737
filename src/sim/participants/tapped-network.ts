import { type ByteStream, decodeFrame, type Message, type Network, type StreamHandlers } from '../../transport/index.ts'

/** A frame's length field, which does not count itself. */
const LENGTH_BYTES = 4

/** The network of a process, with somebody who sees every message that it sends over connections that it opened. */
export function tappedNetwork(network: Network, onSent: (message: Message) => void): Network {
  return {
    listen: (options, onStream) => network.listen(options, onStream),
    connect: async (options) => new TappedStream(await network.connect(options), onSent),
  }
}

class TappedStream implements ByteStream {
  readonly #stream: ByteStream
  readonly #onSent: (message: Message) => void

  constructor(stream: ByteStream, onSent: (message: Message) => void) {
    this.#stream = stream
    this.#onSent = onSent
  }

  get remoteAddress(): string {
    return this.#stream.remoteAddress
  }

  get certificateName(): string | undefined {
    return this.#stream.certificateName
  }

  get bytesQueued(): number {
    return this.#stream.bytesQueued
  }

  receive(handlers: StreamHandlers): void {
    this.#stream.receive(handlers)
  }

  /** @param buffer whole frames: the transport never writes a part of one */
  write(buffer: Buffer): boolean {
    for (let start = 0; start < buffer.length; ) {
      const end = start + LENGTH_BYTES + buffer.readUInt32BE(start)
      this.#onSent(decodeFrame(buffer, start, end))
      start = end
    }
    return this.#stream.write(buffer)
  }

  close(): void {
    this.#stream.close()
  }

  destroy(): void {
    this.#stream.destroy()
  }
}
