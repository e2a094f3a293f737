import type { ParticipantMessage, ParticipantPort } from '../../coordinator/index.ts'
import type { Channel, SimProcess } from '../kernel/types.ts'

/** A coordinator's way to the scripted participants: one channel each, and what can't be sent is lost. */
export class ParticipantChannels implements ParticipantPort {
  readonly #process: SimProcess
  readonly #addresses: ReadonlyMap<string, string>
  readonly #channels = new Map<string, Channel | 'connecting'>()

  /** @param addresses of the participants, by their names */
  constructor(process: SimProcess, addresses: ReadonlyMap<string, string>) {
    this.#process = process
    this.#addresses = addresses
  }

  knows(participant: string): boolean {
    return this.#addresses.has(participant)
  }

  send(participant: string, message: ParticipantMessage): void {
    const channel = this.#channels.get(participant)
    if (channel === undefined) void this.#connect(participant)
    else if (channel !== 'connecting') channel.send(message)
  }

  async #connect(participant: string): Promise<void> {
    this.#channels.set(participant, 'connecting')
    try {
      const channel = await this.#process.channels.connect(this.#addresses.get(participant)!)
      channel.onMessage = () => {}
      channel.onClose = () => void this.#channels.delete(participant)
      this.#channels.set(participant, channel)
    } catch {
      this.#channels.delete(participant)
    }
  }
}
