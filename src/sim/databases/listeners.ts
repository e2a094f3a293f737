/** The part of an EventEmitter that drivers' clients are used by: an `error` that nobody hears ends the process, as in Node. */
export class ErrorListeners {
  #listeners: ((error: Error) => void)[] = []

  add(listener: (error: Error) => void): void {
    this.#listeners.push(listener)
  }

  remove(listener: (error: Error) => void): void {
    const index = this.#listeners.lastIndexOf(listener)
    if (index >= 0) this.#listeners.splice(index, 1)
  }

  /** @throws the error itself when nobody listens */
  emit(error: Error): void {
    if (this.#listeners.length === 0) throw error
    for (const listener of [...this.#listeners]) listener(error)
  }
}
