/** How bad it is. */
export type Level =
  /** As it should be. */
  | 'ok'
  /** It works, and may not under conditions that the message names. */
  | 'warning'
  /** Transactions fail or stay stuck, or a crash breaks a promise. */
  | 'error'

/** Something that was looked at, and what was seen. */
export interface Finding {
  /** What it is about: `database flights`, `coordinator 2`, `this machine`, `fleet`. */
  readonly subject: string
  readonly level: Level
  /** A stable word, for example `preparedTransactionsOff`. */
  readonly what: string
  /** What it is and what it means. */
  readonly message: string
  /** What to do; undefined when there is nothing to do. */
  readonly advice: string | undefined
}

/** Makes findings about one subject. */
export class Findings {
  readonly #subject: string
  readonly #found: Finding[] = []

  constructor(subject: string) {
    this.#subject = subject
  }

  get found(): readonly Finding[] {
    return this.#found
  }

  ok(what: string, message: string): void {
    this.add('ok', what, message, undefined)
  }

  warning(what: string, message: string, advice: string): void {
    this.add('warning', what, message, advice)
  }

  error(what: string, message: string, advice: string): void {
    this.add('error', what, message, advice)
  }

  add(level: Level, what: string, message: string, advice: string | undefined): void {
    this.#found.push({ subject: this.#subject, level, what, message, advice })
  }
}
