/** A second Ctrl-C counts this long after the first: some shells and npm deliver one key press twice. */
const INSIST_AFTER_MS = 500

/** Turns Ctrl-C, SIGTERM, SIGHUP and `q` into a request to stop; a second one does not wait for the audit any more. */
export class StopRequest {
  requested = false
  #requestedMs = 0
  #insist: ((error: Error) => void) | undefined
  /** Never resolves; rejects when a stop is asked for a second time. */
  readonly insisted: Promise<never>
  readonly #wake: (() => void)[] = []
  readonly #onFirst: () => void
  readonly #raw: boolean
  readonly #request = (): void => {
    if (this.requested) {
      if (performance.now() - this.#requestedMs > INSIST_AFTER_MS)
        this.#insist?.(new Error('the demo was stopped before its audit'))
      return
    }
    this.requested = true
    this.#requestedMs = performance.now()
    this.#onFirst()
    for (const wake of this.#wake) wake()
  }
  readonly #onKey = (key: Buffer): void => {
    // In raw mode the terminal sends Ctrl-C as a character.
    if (key.includes('q') || key.includes(3)) this.#request()
  }

  /** `keys`: read single keys from the terminal. `onFirst` runs at once when a stop is asked for. */
  constructor(keys: boolean, onFirst: () => void) {
    this.#onFirst = onFirst
    this.insisted = new Promise<never>((_, reject) => {
      this.#insist = reject
    })
    // Before anybody waits for it, a rejection is no fault.
    this.insisted.catch(() => {})
    process.on('SIGINT', this.#request)
    process.on('SIGTERM', this.#request)
    process.on('SIGHUP', this.#request)
    this.#raw = keys && process.stdin.isTTY === true
    if (!this.#raw) return
    process.stdin.setRawMode(true)
    process.stdin.on('data', this.#onKey)
  }

  throwIfRequested(): void {
    if (this.requested) throw new Error('the demo was stopped before it began')
  }

  /** Resolves when a stop is asked for. */
  get asked(): Promise<void> {
    if (this.requested) return Promise.resolve()
    return new Promise((resolve) => this.#wake.push(resolve))
  }

  dispose(): void {
    process.off('SIGINT', this.#request)
    process.off('SIGTERM', this.#request)
    process.off('SIGHUP', this.#request)
    if (!this.#raw) return
    process.stdin.setRawMode(false)
    process.stdin.off('data', this.#onKey)
    process.stdin.pause()
  }
}
