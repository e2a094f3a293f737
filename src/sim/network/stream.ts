import type { ByteStream, StreamHandlers } from '../../transport/index.ts'
import type { Process } from '../kernel/process.ts'
import type { FrameShuffler } from './frame-shuffler.ts'
import type { Flow } from './route.ts'

/** What a stream needs of its network. */
export interface StreamNetwork {
  /** Runs `task` for `process` as a part of this macrotask; later or never if it is stopped or dead. */
  dispatch(process: Process, task: () => void): void
  /** Calls `task` later, if the process lives then. */
  schedule(process: Process, delayMs: number, task: () => void): void
  /** Mixes what arrived into the fingerprint of the run. */
  arrived(chunk: Buffer): void
  /** Where the next chunk of so many bytes falls into two; undefined: it stays whole. */
  splitAt(size: number): number | undefined
  /** Whether the next chunk is lost, and its connection with it. */
  breaks(): boolean
  /** The stream is over. */
  gone(stream: SimStream): void
}

/** Bytes under way in one direction, at most: the kernel's buffers of both sides. What is beyond waits in the process. */
const WINDOW_BYTES = 256 * 1024

/** One end of a connection that carries bytes. */
export class SimStream implements ByteStream {
  readonly remoteAddress: string
  readonly certificateName = undefined
  readonly process: Process
  readonly out: Flow
  peer!: SimStream
  readonly #network: StreamNetwork
  readonly #shuffler: FrameShuffler | undefined
  #handlers: StreamHandlers | undefined
  #early: Buffer[] = []
  #waiting: Buffer[] = []
  #bytesWaiting = 0
  #bytesInFlight = 0
  #started = false
  #open = true
  #closing = false
  #reason: Error | undefined

  constructor(
    network: StreamNetwork,
    process: Process,
    remoteAddress: string,
    out: Flow,
    shuffler: FrameShuffler | undefined,
  ) {
    this.#network = network
    this.process = process
    this.remoteAddress = remoteAddress
    this.out = out
    this.#shuffler = shuffler
  }

  get bytesQueued(): number {
    return this.#bytesWaiting
  }

  receive(handlers: StreamHandlers): void {
    const first = this.#handlers === undefined
    this.#handlers = handlers
    if (!first) return
    queueMicrotask(() => this.#start())
  }

  write(buffer: Buffer): boolean {
    this.process.trap?.('send')
    if (!this.#open || this.#closing || !this.process.alive) return false
    if (this.#bytesWaiting > 0 || (this.#bytesInFlight > 0 && this.#bytesInFlight + buffer.length > WINDOW_BYTES)) {
      this.#waiting.push(buffer)
      this.#bytesWaiting += buffer.length
      return false
    }
    this.#transmit(buffer)
    return true
  }

  close(): void {
    if (this.#closing || !this.#open || !this.process.alive) return
    this.#closing = true
    if (this.#bytesWaiting === 0) this.#finish()
  }

  destroy(): void {
    if (!this.#open || !this.process.alive) return
    this.#drop()
    this.out.route.sendLoose(0, () => this.peer.broken())
    queueMicrotask(() => this.#ended(undefined))
  }

  /** The process is gone; its kernel tells the other side, unless the power is gone as well. */
  orphan(how: 'fin' | 'reset' | 'nothing'): void {
    if (!this.#open) return
    this.#drop()
    this.#handlers = undefined
    if (how === 'fin') this.#finish()
    else if (how === 'reset') this.out.route.sendLoose(0, () => this.peer.broken())
  }

  /** Ends the connection with an error at both ends, as a lost chunk does. */
  breakDown(): void {
    const { route } = this.out
    route.schedule(route.latencyMs(), () => this.broken())
    route.sendLoose(0, () => this.peer.broken())
  }

  /** The connection broke: an RST came. */
  broken(): void {
    if (!this.#open) return
    const { process } = this
    this.#network.dispatch(process, () => {
      if (!this.#open) return
      this.#drop()
      this.#ended(Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' }))
    })
  }

  #transmit(buffer: Buffer): void {
    const { length } = buffer
    this.#bytesInFlight += length
    if (this.#network.breaks()) this.breakDown()
    else if (this.#shuffler !== undefined) this.#transmitShuffled(this.#shuffler, buffer)
    else {
      const at = this.#network.splitAt(length)
      if (at === undefined) this.#sendPiece(buffer)
      else {
        this.#sendPiece(buffer.subarray(0, at))
        this.#sendPiece(buffer.subarray(at))
      }
    }
  }

  #sendPiece(piece: Buffer): void {
    this.out.send(() => this.peer.#arrive(piece, piece.length))
  }

  /** Whole frames may be lost, come twice, or overtake each other; the bytes count as one chunk all the same. */
  #transmitShuffled(shuffler: FrameShuffler, buffer: Buffer): void {
    const { kept, late } = shuffler.shuffle(buffer)
    this.out.send(() => this.peer.#arrive(kept, buffer.length))
    for (const { frame, delayMs } of late) this.out.route.sendLoose(delayMs, () => this.peer.#arriveLate(frame))
  }

  #arrive(chunk: Buffer, size: number): void {
    if (!this.#open) {
      // Nobody is here any more: the kernel says so.
      this.out.send(() => this.peer.broken())
      return
    }
    this.#network.dispatch(this.process, () => {
      if (!this.#open) return
      this.peer.#acknowledged(size)
      this.#take(chunk)
    })
  }

  #arriveLate(frame: Buffer): void {
    if (this.#open) this.#network.dispatch(this.process, () => this.#take(frame))
  }

  #take(chunk: Buffer): void {
    if (!this.#open || chunk.length === 0) return
    this.#network.arrived(chunk)
    if (this.#started) this.#handlers?.onData(chunk)
    else this.#early.push(chunk)
  }

  #acknowledged(size: number): void {
    this.#bytesInFlight -= size
    if (this.#bytesWaiting === 0 || !this.#open) return
    while (this.#waiting.length > 0 && this.#bytesInFlight < WINDOW_BYTES) {
      const next = this.#waiting.shift()!
      this.#bytesWaiting -= next.length
      this.#transmit(next)
    }
    if (this.#bytesWaiting > 0) return
    if (this.#closing) this.#finish()
    else this.#network.schedule(this.process, this.out.route.latencyMs(), () => this.#handlers?.onDrain?.())
  }

  #finish(): void {
    this.out.send(() => this.peer.#finished())
  }

  /** The other side ended in an orderly way: so do we (a half-open stream is of no use here). */
  #finished(): void {
    if (!this.#open) return
    this.#network.dispatch(this.process, () => {
      if (!this.#open) return
      this.#drop()
      if (!this.#closing) this.#finish()
      this.#ended(undefined)
    })
  }

  #start(): void {
    if (!this.process.alive) return
    this.#started = true
    for (let chunk = this.#early.shift(); chunk !== undefined; chunk = this.#early.shift())
      this.#handlers?.onData(chunk)
    if (!this.#open) this.#handlers?.onClose(this.#reason)
  }

  #drop(): void {
    this.#open = false
    this.#waiting = []
    this.#bytesWaiting = 0
    this.#network.gone(this)
  }

  #ended(error: Error | undefined): void {
    this.#reason = error
    if (this.#started && this.process.alive) this.#handlers?.onClose(error)
  }
}
